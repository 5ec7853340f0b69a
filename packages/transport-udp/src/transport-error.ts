/** Codes of a {@link TransportError}. */
export type TransportErrorCode =
  /** Another socket holds the address. */
  | "address-in-use"
  /** The address is not one of this machine's. */
  | "address-not-available"
  /** The socket was closed before the call. */
  | "closed"
  /** The socket was closed while, or before, a receive waited. */
  | "connection-reset"
  /** The bounded send queue is full; try again when it has room. */
  | "would-block"
  /** An argument makes no sense; nothing was done. */
  | "invalid-argument"
  /** What was asked for does not run here. */
  | "unsupported"
  /** The operating system refused; see `systemCode`. */
  | "socket";

/** What `@netmesh/transport-udp` throws. */
export class TransportError extends Error {
  /** Stable, to branch on. */
  readonly code: TransportErrorCode;
  /** What the operating system called it (`EMSGSIZE`, `ECONNREFUSED` …), where it did. */
  readonly systemCode: string | undefined;

  constructor(code: TransportErrorCode, message: string, options?: ErrorOptions & { systemCode?: string }) {
    super(message, options);
    this.name = "TransportError";
    this.code = code;
    this.systemCode = options?.systemCode;
  }
}

/** The system's word for an error, `UNKNOWN` when it has none. */
export function systemCodeOf(error: unknown): string {
  // dgram's buffer size errors keep the system's code one level down.
  const { info, code } = error as { info?: { code?: unknown }; code?: unknown };
  const found = info?.code ?? code;
  return typeof found === "string" ? found : "UNKNOWN";
}

/** An error of the operating system as one of ours. */
export function toTransportError(error: unknown, doing: string): TransportError {
  const systemCode = systemCodeOf(error);
  const code =
    systemCode === "EADDRINUSE"
      ? "address-in-use"
      : systemCode === "EADDRNOTAVAIL"
        ? "address-not-available"
        : "socket";
  return new TransportError(code, `${doing}: ${systemCode}`, { cause: error, systemCode });
}
