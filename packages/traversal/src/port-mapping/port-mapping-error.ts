/**
 * Kinds of a {@link PortMappingError} (traversal §12.1).
 *
 * `unavailable`: nobody answered, or the router has nothing to offer. `timeout`: a call passed its deadline. `transport`: a
 * socket, HTTP or parse error, or wrong use. `refused`: the router said no.
 */
export type PortMappingErrorKind = "unavailable" | "timeout" | "transport" | "refused";

/** What a port mapping client throws. Nothing of it means that a peer cannot be reached: relays do without mappings. */
export class PortMappingError extends Error {
  /** Stable, to branch on. */
  readonly kind: PortMappingErrorKind;
  /** What happened, in the words of the protocol; part of the message only for `transport` and `refused`. */
  readonly detail: string;
  /** The result code of NAT-PMP, PCP or UPnP, where the router gave one. */
  readonly routerCode: number | undefined;

  constructor(
    kind: PortMappingErrorKind,
    detail = "",
    options?: ErrorOptions & { readonly routerCode?: number },
  ) {
    const shown = detail !== "" && (kind === "transport" || kind === "refused");
    super(shown ? `${kind}: ${detail}` : kind, options);
    this.name = "PortMappingError";
    this.kind = kind;
    this.detail = detail;
    this.routerCode = options?.routerCode;
  }

  /** The same as {@link PortMappingError.kind}, under the name that all errors of netmesh have. */
  get code(): PortMappingErrorKind {
    return this.kind;
  }
}

/** Any error as one of ours; what is not one becomes `transport`. */
export function toPortMappingError(error: unknown): PortMappingError {
  if (error instanceof PortMappingError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new PortMappingError("transport", text, { cause: error });
}

/** The error of a call that passed its deadline. */
export function timedOut(): PortMappingError {
  return new PortMappingError("timeout");
}
