import type { TokenChain } from "@netmesh/crypto";

/** That a peer may be sent the events of a channel, and why. */
export interface Authorization {
  /** What the peer has presented; undefined where no token was asked for. */
  readonly chain: TokenChain | undefined;
  /** The serialised chain, by which a repeated presentation is known. */
  readonly chainBytes: Uint8Array | undefined;
  /** Whose proof of identity it was given for; undefined where that played no part. */
  readonly entityId: Uint8Array | undefined;
  /** As of which revision of configurations and revocations it was last checked. */
  checkedRevision: number;
  /** Until when, in Unix seconds, that check holds: the first end of one of the tokens, with what clocks may be apart. */
  goodUntil: number;
  /** When that check was made, in Unix seconds: a clock that was set back makes it void. */
  checkedAt: number;
}

/**
 * Who may be sent what, by the very name of the channel (spec/mesh.md §12.4). There is an entry for each place in the roster
 * and none besides, so that the roster's bounds are its bounds.
 */
export class AuthGuard {
  readonly #channels = new Map<string, Map<bigint, Authorization>>();
  /** Entries in all. */
  size = 0;

  /** Lets a peer receive a channel, in place of whatever let it before. */
  allow(nodeId: bigint, name: string, authorization: Authorization): void {
    let peers = this.#channels.get(name);
    if (peers === undefined) {
      peers = new Map();
      this.#channels.set(name, peers);
    }
    if (!peers.has(nodeId)) this.size++;
    peers.set(nodeId, authorization);
  }

  /** Takes {@link allow} back; false when there was nothing. */
  revoke(nodeId: bigint, name: string): boolean {
    const peers = this.#channels.get(name);
    if (peers?.delete(nodeId) !== true) return false;
    this.size--;
    if (peers.size === 0) this.#channels.delete(name);
    return true;
  }

  /** Why the peer may receive the channel; undefined when it may not. */
  get(nodeId: bigint, name: string): Authorization | undefined {
    return this.#channels.get(name)?.get(nodeId);
  }

  /** Everybody who may receive the channel. */
  of(name: string): ReadonlyMap<bigint, Authorization> {
    return this.#channels.get(name) ?? NOBODY;
  }

  /** Calls back for every entry; `revoke` may be called for the entry at hand. */
  forEach(callback: (nodeId: bigint, name: string, authorization: Authorization) => void): void {
    for (const [name, peers] of this.#channels) {
      for (const [nodeId, authorization] of peers) callback(nodeId, name, authorization);
    }
  }
}

const NOBODY: ReadonlyMap<bigint, Authorization> = new Map();
