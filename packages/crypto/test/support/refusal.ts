/** The error codes of this package, as tests compare them. */
import { CryptoError } from "../../src/index.ts";

/** The code of the `CryptoError` that `act` throws, or "ok"; anything else that it throws comes through. */
export function codeOf(act: () => unknown): string {
  try {
    act();
    return "ok";
  } catch (error) {
    if (error instanceof CryptoError) return error.code;
    throw error;
  }
}
