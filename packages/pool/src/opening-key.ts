import {
  AEAD_KEY_SIZE,
  type AeadProvider,
  PacketCipher,
  type PublicView,
  REDACTED,
  Redacted,
  type ReplayWindow,
  sessionIdHex,
} from "@netmesh/crypto";
import { HeaderOffset, readU32 } from "@netmesh/wire";
import { PoolError } from "./errors.ts";
import { type PostTarget, postKey } from "./key-grant.ts";

/**
 * All that a thread needs to open the packets of a session; holds the key, so post it and keep no copy. Plain
 * data that survives structured cloning.
 */
export interface OpeningGrant {
  /** The rx key, 32 bytes; `acceptOpening` wipes it. */
  readonly key: Uint8Array;
  /** Names the session. */
  readonly sessionId: bigint;
}

/**
 * An rx key in a thread that opens packets for the one that owns the session.
 *
 * Opening has no state, so any number of threads may hold the key and any of them may open any packet. What
 * is fresh is decided by the session's replay window, and that has **one owner**: a worker opens in place and
 * hands the packet back, the owner calls `commitOpened` and drops what it refuses. A payload that has not
 * been committed may be a replay: do nothing with it but hand it back.
 *
 * Packets that are opened side by side come back in any order, and a worker that is held up comes back too
 * late for the window. So either one worker opens all packets of a session, or the owner commits in the order
 * in which it gave them out: `DispatchOrder` restores that.
 */
export class OpeningKey extends Redacted {
  /** Names the session. */
  readonly sessionId: bigint;
  readonly #cipher: PacketCipher;

  /** `key` has 32 bytes and is copied; wipe yours. */
  constructor(key: Uint8Array, sessionId: bigint, provider?: AeadProvider) {
    super();
    this.sessionId = sessionId;
    this.#cipher = new PacketCipher(key, sessionId, provider);
  }

  /**
   * Verifies and decrypts a packet in place; returns the length of its payload, or -1 if it is not genuine,
   * and then the buffer holds no plaintext. Header, and so the counter, stay as they are. Throws `destroyed`
   * after `retire`.
   */
  open(buffer: Uint8Array, offset: number, length: number): number {
    return this.#cipher.openPacket(buffer, offset, length);
  }

  /** Wipes the key. Idempotent. */
  retire(): void {
    this.#cipher.destroy();
  }

  /** Shows the session id, never the key. */
  override toJSON(): PublicView {
    return { sessionId: sessionIdHex(this.sessionId), key: REDACTED };
  }
}

/**
 * Posts an rx key (32 bytes, yours stays yours) to a worker, for `acceptOpening` there; `wrap` puts the grant
 * into a message of yours. Throws `invalid-size`; what `postMessage` throws passes through.
 */
export function grantOpening(
  target: PostTarget,
  key: Uint8Array,
  sessionId: bigint,
  wrap: (grant: OpeningGrant) => unknown = (grant) => grant,
): void {
  if (key.length !== AEAD_KEY_SIZE) throw new PoolError("invalid-size", "a key has 32 bytes", key.length);
  postKey(target, key, (moved) => wrap({ key: moved, sessionId }));
}

/** The opening key of a grant; wipes the grant's key. */
export function acceptOpening(grant: OpeningGrant, provider?: AeadProvider): OpeningKey {
  try {
    return new OpeningKey(grant.key, grant.sessionId, provider);
  } finally {
    grant.key.fill(0);
  }
}

/**
 * Whether a packet that was opened is fresh. For the thread that owns the window, once for each packet whose
 * opening succeeded, in the order in which they arrived from the network; false means drop it.
 */
export function commitOpened(window: ReplayWindow, buffer: Uint8Array, offset: number): boolean {
  const counter = offset + HeaderOffset.COUNTER;
  return window.commit(readU32(buffer, counter), readU32(buffer, counter + 4));
}
