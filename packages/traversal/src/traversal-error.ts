/** What went wrong on the way past a NAT; stable (traversal §4). None of them makes a peer unreachable over relays. */
export type TraversalErrorKind =
  | "reflex-timeout"
  | "peer-not-reachable"
  | "transport"
  | "rendezvous-no-relay"
  | "rendezvous-rejected"
  | "punch-failed"
  | "port-map-unavailable"
  | "unsupported";

/** An operation of NAT traversal failed. */
export class TraversalError extends Error {
  override readonly name: string = "TraversalError";
  readonly kind: TraversalErrorKind;
  /** What is known beyond the kind; empty for most. */
  readonly detail: string;

  constructor(kind: TraversalErrorKind, detail = "", options?: ErrorOptions) {
    const isShown = detail !== "" && (kind === "transport" || kind === "rendezvous-rejected");
    super(isShown ? `traversal: ${kind}: ${detail}` : `traversal: ${kind}`, options);
    this.kind = kind;
    this.detail = detail;
  }

  /** The same as {@link TraversalError.kind}, under the name that all errors of netmesh have. */
  get code(): TraversalErrorKind {
    return this.kind;
  }
}
