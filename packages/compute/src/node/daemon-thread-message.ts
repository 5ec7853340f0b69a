import type { CapabilityFilter } from "../capability-filter.ts";
import type { ControlEvent, DaemonHealth, DaemonOutput } from "../daemon.ts";
import type { DaemonContext } from "../daemon-factory.ts";
import type { DaemonErrorCode } from "../errors.ts";
import type { CausalEvent } from "../state/causal-event.ts";

/** What a daemon's thread is made with. */
export interface ThreadPlan {
  /** URL of the module. */
  readonly module: string;
  /** Name of its export that makes the daemon. */
  readonly exportName: string;
  readonly context: DaemonContext;
  /** Longest making of the daemon, in milliseconds. */
  readonly timeoutMs: number;
}

/** A call of the daemon; there is one at a time. */
export type ThreadCall =
  | { readonly call: "process"; readonly event: CausalEvent }
  | { readonly call: "snapshot" }
  | { readonly call: "restore"; readonly state: Uint8Array }
  | { readonly call: "control"; readonly event: ControlEvent }
  | { readonly call: "dispose" };

/** What is known of a daemon once it is made. */
export interface ThreadDaemon {
  readonly name: string;
  readonly requirements: CapabilityFilter | undefined;
  readonly requiredCapabilities: readonly string[] | undefined;
  readonly optionalCapabilities: readonly string[] | undefined;
  readonly isStateful: boolean;
}

/** What the thread says: first `made` or `refused`, then one answer to every call, with how the daemon says that it is doing. */
export type ThreadAnswer =
  | { readonly kind: "made"; readonly daemon: ThreadDaemon }
  | { readonly kind: "refused"; readonly code: DaemonErrorCode; readonly message: string }
  | {
      readonly kind: "returned";
      readonly value: DaemonOutput;
      readonly health: DaemonHealth | undefined;
      readonly saturation: number | undefined;
    }
  | { readonly kind: "threw"; readonly message: string };

/** Bytes that can be copied to another thread without what is around them. */
export function compact(bytes: Uint8Array): Uint8Array {
  return bytes.byteLength === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes);
}
