import { CryptoError } from "../errors.ts";
import { nobleAead } from "./noble.ts";
import type { AeadProvider } from "./provider.ts";

/** What is available here, the preferred implementation first. */
const available: readonly AeadProvider[] = [nobleAead];

/** The names that `aeadProvider` takes in this runtime, the default first. */
export function aeadProviderNames(): string[] {
  return available.map((provider) => provider.name);
}

/** The provider of that name, or the best one here. Throws `unknown-provider`. */
export function aeadProvider(name?: string): AeadProvider {
  const found = available.find((provider) => name === undefined || provider.name === name);
  if (found === undefined) throw new CryptoError("unknown-provider", `no AEAD called ${name}`, name);
  return found;
}
