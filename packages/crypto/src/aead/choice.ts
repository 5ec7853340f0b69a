import { CryptoError } from "../errors.ts";
import { sodiumAead, splitAead } from "./native.ts";
import { nobleAead } from "./noble.ts";
import { opensslAead } from "./openssl.ts";
import type { AeadProvider } from "./provider.ts";
import { passesSelfTest } from "./self-test.ts";
import { wasmAead } from "./wasm.ts";

// From these lengths on they beat the WebAssembly kernel, whose calls cost less (bench/packet-cipher.bench.ts).
const OPENSSL_FROM_BYTES = 2_048;
const SODIUM_FROM_BYTES = 4_096;

/**
 * The implementations by name. `wasm` is WebAssembly with SIMD; `noble` plain TypeScript; `native` OpenSSL for packets of
 * 2 KiB and more, or libsodium for those of 4 KiB and more, and the best other one for the rest.
 */
const implementations: Readonly<Record<string, () => AeadProvider | undefined>> = {
  wasm: wasmAead,
  noble: () => nobleAead,
  native() {
    const openssl = opensslAead();
    if (openssl !== undefined && passesSelfTest(openssl)) {
      return splitAead(openssl, aeadProvider(), OPENSSL_FROM_BYTES);
    }
    const sodium = sodiumAead();
    if (sodium === undefined || !passesSelfTest(sodium)) return undefined;
    return splitAead(sodium, aeadProvider(), SODIUM_FROM_BYTES);
  },
};

/** What was found so far; undefined for what does not run here. */
const found = new Map<string, AeadProvider | undefined>();

function find(name: string): AeadProvider | undefined {
  if (!found.has(name)) {
    const provider = implementations[name]?.();
    found.set(name, provider !== undefined && passesSelfTest(provider) ? provider : undefined);
  }
  return found.get(name);
}

/** The names that `aeadProvider` takes in this runtime, the default first. Loads each of them. */
export function aeadProviderNames(): string[] {
  return Object.keys(implementations).filter((name) => find(name) !== undefined);
}

/**
 * The provider of that name: `wasm`, `noble`, or `native` where the package koffi or sodium-native is installed. Without a name `wasm`
 * where it runs, else `noble`. A provider is tested on known answers before it is used for the first time; one that fails
 * counts as absent. Throws `unknown-provider`.
 */
export function aeadProvider(name?: string): AeadProvider {
  const provider = name === undefined ? (find("wasm") ?? find("noble")) : find(name);
  if (provider === undefined) throw new CryptoError("unknown-provider", `no AEAD called ${name} here`, name);
  return provider;
}
