import { copyBytes } from "@netmesh/wire";
/**
 * Raw 32-byte keys in and out of the key objects of Node's crypto, where that exists (Node, Bun, Deno).
 * RFC 8410 gives X25519 and Ed25519 keys one fixed DER prefix each, so no parser is needed.
 */
import { equalBytes } from "./constant-time.ts";

/** An opaque key of the platform. */
export interface PlatformKey {
  export(options: { format: "der"; type: "spki" | "pkcs8" }): Uint8Array;
}

interface KeyInput {
  key: Uint8Array;
  format: "der";
  type: "spki" | "pkcs8";
}

/** The part of `node:crypto` in use here. */
export interface PlatformCrypto {
  createPrivateKey(input: KeyInput): PlatformKey;
  createPublicKey(input: KeyInput | PlatformKey): PlatformKey;
  generateKeyPairSync(type: "x25519"): { publicKey: PlatformKey; privateKey: PlatformKey };
  diffieHellman(keys: { privateKey: PlatformKey; publicKey: PlatformKey }): Uint8Array;
  sign(algorithm: null, data: Uint8Array, key: PlatformKey): Uint8Array;
  verify(algorithm: null, data: Uint8Array, key: PlatformKey, signature: Uint8Array): boolean;
}

interface Host {
  process?: { getBuiltinModule?: (name: string) => unknown };
}

/**
 * `node:crypto`, or undefined in a browser. Reached without an import, so that bundlers for browsers need no
 * stub.
 */
export const platformCrypto: PlatformCrypto | undefined = (
  globalThis as unknown as Host
).process?.getBuiltinModule?.("node:crypto") as PlatformCrypto | undefined;

/** Last byte of the object identifier 1.3.101.n (RFC 8410 §3). */
const OID_TAIL = { x25519: 0x6e, ed25519: 0x70 } as const;

/** An algorithm of RFC 8410. */
export type PlatformAlgorithm = keyof typeof OID_TAIL;

/** SubjectPublicKeyInfo around 32 raw bytes (RFC 8410 §4). */
function spki(algorithm: PlatformAlgorithm, raw: Uint8Array): Uint8Array {
  return Uint8Array.of(
    0x30,
    0x2a,
    0x30,
    0x05,
    0x06,
    0x03,
    0x2b,
    0x65,
    OID_TAIL[algorithm],
    0x03,
    0x21,
    0,
    ...raw,
  );
}

/** PrivateKeyInfo around 32 raw bytes (RFC 8410 §7). */
function pkcs8(algorithm: PlatformAlgorithm, raw: Uint8Array): Uint8Array {
  return Uint8Array.of(
    ...[0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, OID_TAIL[algorithm]],
    ...[0x04, 0x22, 0x04, 0x20],
    ...raw,
  );
}

/** The 32 raw bytes of a key: both encodings end with them. */
export function rawKey(key: PlatformKey, type: "spki" | "pkcs8"): Uint8Array {
  const der = key.export({ format: "der", type });
  const raw = Uint8Array.from(der.subarray(-32));
  der.fill(0);
  return raw;
}

/** A public key object of 32 raw bytes. */
export function importPublicKey(
  node: PlatformCrypto,
  algorithm: PlatformAlgorithm,
  raw: Uint8Array,
): PlatformKey {
  return node.createPublicKey({ key: spki(algorithm, raw), format: "der", type: "spki" });
}

/**
 * Private key objects by the array that holds the raw key. Importing costs more than a Diffie-Hellman step,
 * and a static key is used for every handshake. An array whose bytes have changed is imported anew.
 */
export class PrivateKeyCache {
  readonly #node: PlatformCrypto;
  readonly #algorithm: PlatformAlgorithm;
  readonly #entries: WeakMap<Uint8Array, { raw: Uint8Array; key: PlatformKey }> = new WeakMap();

  constructor(node: PlatformCrypto, algorithm: PlatformAlgorithm) {
    this.#node = node;
    this.#algorithm = algorithm;
  }

  /** The key object of the 32 bytes `raw`. */
  get(raw: Uint8Array): PlatformKey {
    const entry = this.#entries.get(raw);
    if (entry !== undefined && equalBytes(entry.raw, raw)) return entry.key;
    this.forget(raw);
    const der = pkcs8(this.#algorithm, raw);
    const key = this.#node.createPrivateKey({ key: der, format: "der", type: "pkcs8" });
    der.fill(0);
    this.set(raw, key);
    return key;
  }

  /** Remembers the key object of `raw`. */
  set(raw: Uint8Array, key: PlatformKey): void {
    this.#entries.set(raw, { raw: copyBytes(raw), key });
  }

  /** Drops what is kept for this array. */
  forget(raw: Uint8Array): void {
    this.#entries.get(raw)?.raw.fill(0);
    this.#entries.delete(raw);
  }
}
