import { keyedBlake2s, type RandomSource, randomBytes } from "@netmesh/crypto";
import type { SocketAddress } from "@netmesh/wire";

/** Bytes of a cookie: the number of its secret, and a MAC. */
export const COOKIE_SIZE = 12;
/** How long a secret makes cookies; it accepts them for as long again. */
const SECRET_MS = 60_000;

interface Secret {
  readonly number: number;
  readonly key: Uint8Array;
}

/**
 * Cookies, by which a node shows that it receives what is sent to the address it claims. They follow from the address,
 * the claimed routing id and a random secret, so that nothing has to be remembered about who was given one. The secret
 * changes every minute; the one before is still accepted.
 */
export class SourceCookies {
  readonly #random: RandomSource;
  #current: Secret;
  #previous: Secret | undefined;
  #sinceMs: number;

  constructor(random: RandomSource, nowMs: number) {
    this.#random = random;
    const number = (randomBytes(1, random)[0] as number) & 0xff;
    this.#current = { number, key: randomBytes(32, random) };
    this.#sinceMs = nowMs;
  }

  /** The cookie of that source now, 12 bytes. */
  make(address: SocketAddress, sourceId: number, nowMs: number): Uint8Array {
    this.#rotate(nowMs);
    return cookieOf(this.#current, address, sourceId);
  }

  /** Whether the 12 bytes at `offset` are a cookie given to that source within the last one or two minutes. */
  accepts(
    bytes: Uint8Array,
    offset: number,
    address: SocketAddress,
    sourceId: number,
    nowMs: number,
  ): boolean {
    this.#rotate(nowMs);
    // Most stale cookies are told by their number, without a hash.
    const number = bytes[offset];
    const secret =
      number === this.#current.number
        ? this.#current
        : number === this.#previous?.number
          ? this.#previous
          : undefined;
    if (secret === undefined) return false;
    const expected = cookieOf(secret, address, sourceId);
    let difference = 0;
    for (let i = 0; i < COOKIE_SIZE; i++) {
      difference |= (expected[i] as number) ^ (bytes[offset + i] as number);
    }
    return difference === 0;
  }

  /** Wipes the secrets. */
  destroy(): void {
    this.#current.key.fill(0);
    this.#previous?.key.fill(0);
  }

  #rotate(nowMs: number): void {
    const age = nowMs - this.#sinceMs;
    if (age < SECRET_MS) return;
    this.#previous?.key.fill(0);
    this.#previous = this.#current;
    this.#current = { number: (this.#previous.number + 1) & 0xff, key: randomBytes(32, this.#random) };
    if (age >= 2 * SECRET_MS) {
      this.#previous.key.fill(0);
      this.#previous = undefined;
    }
    this.#sinceMs = nowMs;
  }
}

function cookieOf({ number, key }: Secret, address: SocketAddress, sourceId: number): Uint8Array {
  const cookie = new Uint8Array(COOKIE_SIZE);
  cookie[0] = number;
  cookie.set(keyedBlake2s(key, `${address.key} ${sourceId}`).subarray(0, COOKIE_SIZE - 1), 1);
  return cookie;
}
