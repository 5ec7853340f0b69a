/** `warning`: works, but not as well as it could. `skipped`: nothing could be said. */
export type Status = "ok" | "warning" | "failed" | "skipped";

/** What one check has found. */
export interface Finding {
  /** Stable name of the check. */
  readonly check:
    | "socket"
    | "relay"
    | "reflex"
    | "nat"
    | "port-mapping"
    | "clock"
    | "peer-address"
    | "peer-relay"
    | "peer-nat"
    | "peer"
    | "mtu";
  readonly status: Status;
  /** One line for people. */
  readonly summary: string;
  /** Why it failed, or is not as good as it could be, in one line. */
  readonly cause?: string;
  /** The figures behind it; JSON values. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** Where findings go as soon as they are made. */
export type Tell = (finding: Finding) => void;

/** An error as one line. */
export function lineOf(error: unknown): string {
  const { code, message } = error as { readonly code?: string; readonly message?: string };
  const [line = ""] = String(message ?? error).split("\n");
  return code === undefined || line.startsWith(code) ? line : `${code}: ${line}`;
}

/** Why a node was not reached, as one line: `silence` when it has not answered, else what the error says. */
export function reasonOf(error: unknown, silence: string): string {
  return (error as { readonly code?: string }).code === "handshake-timeout" ? silence : lineOf(error);
}
