import { high32, low32 } from "@netmesh/wire";
import type { Session } from "./session.ts";

/** Another node, known by the id it claims, and the sessions with it. */
export class Peer {
  readonly nodeId: bigint;
  readonly idLo: number;
  readonly idHi: number;
  /** The session in use. */
  session: Session | undefined;
  /** A newer session that has not yet delivered an authenticated packet (make before break). */
  candidate: Session | undefined;
  /** Whether a session of it was ever in use, and the parts of the node and the application know of it. */
  isKnown = false;
  /** The peer's Noise public key, known to the side that dialled; 32 bytes. */
  publicKey: Uint8Array | undefined;
  /** Hops to it by the last lookup; 0 when none was needed. */
  distance = 0;
  /** The subnet that its own signed announcement puts it in, by this node's policy. */
  subnet: number | undefined;

  constructor(nodeId: bigint) {
    this.nodeId = nodeId;
    this.idLo = low32(nodeId);
    this.idHi = high32(nodeId);
  }

  /** The peer's Ed25519 public key, 32 bytes, once it is known in the session in use; see {@link Session.entityId}. */
  get entityId(): Uint8Array | undefined {
    return this.session?.entityId;
  }
}
