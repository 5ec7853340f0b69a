/** Stable codes of {@link MeshError}. */
export type MeshErrorCode =
  | "invalid-argument"
  | "config"
  | "handshake-timeout"
  | "handshake-failed"
  | "handshake-in-flight"
  | "insecure-peer"
  | "unknown-peer"
  | "no-route"
  | "too-many-peers"
  | "backpressure"
  | "not-connected"
  | "message-too-large"
  | "repair-timeout"
  | "stream-reset"
  | "stream-gap"
  | "peer-lost"
  | "session-replaced"
  | "counter-exhausted"
  | "too-many-streams"
  | "subprotocol-in-use"
  | "unauthorized"
  | "unknown-channel"
  | "rate-limited"
  | "too-many-channels"
  | "rejected"
  | "ack-timeout"
  | "publish-denied"
  | "shutdown";

/** Every error of this package; `code` is stable, the text is not. */
export class MeshError extends Error {
  override readonly name: string = "MeshError";
  /** Stable machine-readable reason. */
  readonly code: MeshErrorCode;
  /** The limit that was exceeded, where there is one (bytes, or a count). */
  readonly limit: number | undefined;

  constructor(code: MeshErrorCode, message: string, limit?: number) {
    super(message);
    this.code = code;
    this.limit = limit;
  }
}
