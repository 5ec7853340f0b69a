import { CryptoError } from "./errors.ts";

/** Where unpredictable bytes come from; injected, so that tests can script them. */
export interface RandomSource {
  /** Fills all of `bytes`. Must throw rather than leave a byte unfilled. */
  fill(bytes: Uint8Array): void;
}

/** What `getRandomValues` takes at most in one call (Web Cryptography §10.1.1). */
const QUOTA = 65_536;

/** The generator of the runtime (`crypto.getRandomValues`). Throws `random-failed`; there is no fallback. */
export const platformRandom: RandomSource = {
  fill(bytes: Uint8Array): void {
    const { crypto } = globalThis as unknown as { crypto?: { getRandomValues(bytes: Uint8Array): void } };
    if (crypto === undefined) throw new CryptoError("random-failed", "no crypto.getRandomValues here");
    try {
      for (let from = 0; from < bytes.length; from += QUOTA) {
        crypto.getRandomValues(bytes.subarray(from, from + QUOTA));
      }
    } catch (error) {
      throw new CryptoError("random-failed", String(error));
    }
  },
};

/** `length` fresh bytes from `random`. */
export function randomBytes(length: number, random: RandomSource = platformRandom): Uint8Array {
  const bytes = new Uint8Array(length);
  random.fill(bytes);
  return bytes;
}
