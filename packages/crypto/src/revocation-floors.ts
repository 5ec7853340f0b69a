import { copyBytes, readU32, writeU32 } from "@netmesh/wire";
import { requireLength, requireRange, TokenError } from "./errors.ts";
import { bytesToHex } from "./hex.ts";
import { ED25519_PUBLIC_KEY_SIZE } from "./signature.ts";
import type { Token } from "./token.ts";

const EXPORT_VERSION = 1;
const ENTRY_SIZE = ED25519_PUBLIC_KEY_SIZE + 4;
const MAX_U32 = 0xffff_ffff;

interface Floor {
  readonly issuer: Uint8Array;
  generation: number;
}

/**
 * The lowest generation that is still good, for each issuer (spec crypto.md §9.3): a token below it is
 * revoked. Floors start at 0 and never sink.
 *
 * They are this node's own knowledge and no message carries them. They live in memory: store `toBytes()`
 * after each `raise` and `merge` it at the next start, or a restart brings revoked tokens back. One entry for
 * each issuer ever raised; none is evicted, since a forgotten floor revives tokens, and nothing that arrives
 * from the network adds one.
 */
export class RevocationFloors {
  /** By entity id in hex; every floor is above 0. */
  readonly #floors: Map<string, Floor> = new Map();

  /** How many issuers have a floor above 0. */
  get size(): number {
    return this.#floors.size;
  }

  /**
   * Revokes every token of `issuer` (entity id, 32 bytes) below `generation` (u32). False when the floor was
   * as high already, which changes nothing. Throws `invalid-length`, `invalid-argument`.
   */
  raise(issuer: Uint8Array, generation: number): boolean {
    requireLength(issuer, ED25519_PUBLIC_KEY_SIZE, "an issuer");
    requireRange(generation, MAX_U32, "a generation");
    if (generation <= this.floorOf(issuer)) return false;
    this.#floors.set(bytesToHex(issuer), { issuer: copyBytes(issuer), generation });
    return true;
  }

  /** The lowest generation of this issuer that is good. */
  floorOf(issuer: Uint8Array): number {
    return this.#floors.get(bytesToHex(issuer))?.generation ?? 0;
  }

  /** Whether the token's issuer has revoked its generation. */
  isRevoked(token: Token): boolean {
    return token.generation < this.floorOf(token.issuer);
  }

  /** All floors, to be stored: a version byte 1, then 32 bytes entity id and a u32 (little-endian) each. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(1 + this.#floors.size * ENTRY_SIZE);
    bytes[0] = EXPORT_VERSION;
    let offset = 1;
    for (const { issuer, generation } of this.#floors.values()) {
      bytes.set(issuer, offset);
      writeU32(bytes, offset + ED25519_PUBLIC_KEY_SIZE, generation);
      offset += ENTRY_SIZE;
    }
    return bytes;
  }

  /**
   * Raises to the floors that `toBytes` stored; lowers none. Returns how many rose. Throws `invalid-format`
   * and changes nothing when `stored` is anything else.
   */
  merge(stored: Uint8Array): number {
    if (stored[0] !== EXPORT_VERSION || (stored.length - 1) % ENTRY_SIZE !== 0) {
      throw new TokenError("invalid-format", "these are no stored revocation floors", stored.length);
    }
    let raised = 0;
    for (let offset = 1; offset < stored.length; offset += ENTRY_SIZE) {
      const issuer = stored.subarray(offset, offset + ED25519_PUBLIC_KEY_SIZE);
      if (this.raise(issuer, readU32(stored, offset + ED25519_PUBLIC_KEY_SIZE))) raised++;
    }
    return raised;
  }
}
