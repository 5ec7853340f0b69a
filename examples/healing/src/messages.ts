import { type Contact, type FailedMessage, fromEnvironment } from "@netmesh/demo-processes";
import { hexToBytes, type MeshOptions } from "@netmesh/sdk";

/** What a process prints, one JSON object a line. */
export type Message =
  | ({ readonly event: "listening" } & Contact)
  | { readonly event: "connected" }
  | ({ readonly event: "progress" } & Progress)
  /** The process's packets for the other end leave for this address now. */
  | { readonly event: "path"; readonly address: string }
  | { readonly event: "sent"; readonly sha256: string }
  | { readonly event: "received"; readonly sha256: string; readonly bytes: number }
  | FailedMessage;

/** What the receiver has seen since it last told. */
export interface Progress {
  readonly bytes: number;
  /** Longest time without anything new, in milliseconds. */
  readonly longestPauseMs: number;
}

export const STREAM_ID = 1n;

/** Settings of every mesh, from the environment. */
export function meshSettings(): Pick<MeshOptions, "bind" | "psk" | "heartbeatMs" | "nat"> {
  return {
    bind: "127.0.0.1:0",
    psk: hexToBytes(fromEnvironment("DEMO_PSK")),
    heartbeatMs: Number(fromEnvironment("DEMO_HEARTBEAT_MS")),
    // On one host the two ends would find each other without relays.
    nat: false,
  };
}
