import type { Peer } from "./peer.ts";
import type { Path, Session } from "./session.ts";

/** A part of the core that has to know how its peers fare. Called in the middle of inputs: may send, must not throw. */
export interface PeerObserver {
  /** A session is in use from now on; the peer's first, or one in place of another. */
  onConnected?(session: Session): void;
  /** The session's packets go another way from now on; it is in use. */
  onPathChanged?(session: Session, old: Path): void;
  /** The session's keys are about to be wiped. */
  onEnded?(session: Session): void;
  /** Nothing was heard of the peer for the session time-out. */
  onLost?(session: Session): void;
  /** A lost peer is heard again. */
  onRecovered?(session: Session): void;
  /** The peer was forgotten. */
  onRemoved?(peer: Peer): void;
}
