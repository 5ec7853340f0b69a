import type { Peer as EnginePeer, Session as EngineSession, MeshNode, SessionSecurity } from "@netmesh/mesh";
import { copyBytes } from "@netmesh/wire";

/**
 * How packets reach a peer: straight to its address, straight to one that both sides have opened in their NATs, or over a relay.
 */
export type Path = "direct" | "punched" | "relayed";

/** A path that a peer was reached by. */
export interface PastPath {
  readonly path: Path;
  /** Where packets went: the peer's own address, or the relay's. */
  readonly address: string;
  /** Since when, in Unix milliseconds. */
  readonly sinceMs: number;
}

/** Paths that are remembered; the oldest leaves. */
const MAX_HISTORY = 16;

/** What only the mesh knows of a peer's path. */
export type PathReader = (peer: EnginePeer) => Path;

/** A live view of another node. */
export class Peer {
  /** The id it claims; see {@link verified}. */
  readonly nodeId: bigint;
  readonly #node: MeshNode;
  readonly #peer: EnginePeer;
  /** The last session, also after it has ended. */
  #last: EngineSession | undefined;
  readonly #pathOf: PathReader;
  readonly #history: PastPath[] = [];

  /** Use `Mesh.connect` and its kin. */
  constructor(node: MeshNode, peer: EnginePeer, pathOf: PathReader) {
    this.nodeId = peer.nodeId;
    this.#node = node;
    this.#peer = peer;
    this.#last = peer.session;
    this.#pathOf = pathOf;
  }

  /** Whether there is a session, and something authenticated was heard within the session time-out. */
  get connected(): boolean {
    const { session } = this.#peer;
    return (
      this.#node.core.peer(this.nodeId) === this.#peer &&
      session !== undefined &&
      session.isConfirmed &&
      !session.isSilent
    );
  }

  /** Where packets go: the peer's own address, or the relay's. */
  get address(): string {
    return this.#session.path.address.key;
  }

  /** How packets reach the peer now. */
  get path(): Path {
    return this.#pathOf(this.#peer);
  }

  /** The paths so far, the present one last; at most 16. */
  get pathHistory(): readonly PastPath[] {
    return [...this.#history];
  }

  /** @internal */
  notePath(sinceMs: number): void {
    const { path, address } = this;
    const last = this.#history.at(-1);
    if (last?.path === path && last.address === address) return;
    if (this.#history.length >= MAX_HISTORY) this.#history.shift();
    this.#history.push({ path, address, sinceMs });
  }

  /**
   * Largest datagram sent to the peer on the present path, in bytes: what was configured, 8192 on loopback, and elsewhere
   * 1200 or what probes have found to pass.
   */
  get datagramBytes(): number {
    return this.#session.pathMtu.datagramBytes;
  }

  /** The peer's Noise public key (32 bytes), known to the side that connected. */
  get publicKey(): Uint8Array | undefined {
    const { publicKey } = this.#peer;
    return publicKey === undefined ? undefined : copyBytes(publicKey);
  }

  /**
   * Whether the peer has shown to hold the key that its node id comes from; the handshake does not prove that. A netmesh node
   * proves it within a round trip, in every session. A node of Net 0.27 by a signed announcement, which another member of the
   * mesh that has recorded it could repeat.
   */
  get verified(): boolean {
    return this.#session.entityId !== undefined;
  }

  /** The peer's Ed25519 public key, once it is {@link verified}; 32 bytes. */
  get entityId(): Uint8Array | undefined {
    const { entityId } = this.#session;
    return entityId === undefined ? undefined : copyBytes(entityId);
  }

  /**
   * `"forward-secret"`: nobody but the two ends can compute the session's keys, not from a recording with the mesh's key
   * either. `"interop"`: whoever holds the mesh's key and has recorded the handshake can, as with every node of Net 0.27.
   */
  get security(): SessionSecurity {
    return this.#session.security;
  }

  /** How many times the session's keys were renewed; always 0 with `"interop"`. */
  get rekeys(): number {
    return this.#session.keyEpoch;
  }

  /** Round trip of the handshake in milliseconds, once known. */
  get roundTripMs(): number | undefined {
    return this.#session.roundTripMs;
  }

  get #session(): EngineSession {
    this.#last = this.#peer.session ?? this.#last;
    return this.#last as EngineSession;
  }
}
