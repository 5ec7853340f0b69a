import { type Contact, type FailedMessage, fromEnvironment } from "@netmesh/demo-processes";
import { hexToBytes, type MeshOptions } from "@netmesh/sdk";

/** What a process prints, one JSON object a line. */
export type Message =
  | ({ readonly event: "listening" } & Contact)
  | { readonly event: "ready" }
  | { readonly event: "spawned"; readonly originHash: string }
  | { readonly event: "phase"; readonly phase: string }
  | { readonly event: "moved"; readonly milliseconds: number; readonly bytes: number }
  | { readonly event: "stayed"; readonly code: string }
  /** What the producer has seen since it last told: answers, and the longest time between two. */
  | { readonly event: "progress"; readonly answered: number; readonly longestPauseMs: number }
  | ({ readonly event: "finished" } & Tally)
  | FailedMessage;

/** What the parent asks of a node, or of the producer. */
export type Command =
  | { readonly do: "connect"; readonly to: readonly Contact[] }
  | { readonly do: "spawn"; readonly stateBytes: number }
  | { readonly do: "expect"; readonly originHash: string }
  | { readonly do: "move"; readonly to: string }
  | { readonly do: "produce"; readonly originHash: string; readonly home: string }
  | { readonly do: "finish" };

/** What the daemon has counted. */
export interface Tally {
  readonly events: number;
  readonly gaps: number;
  readonly repeats: number;
}

export const KIND = "counter";
export const STREAM_ID = 9n;

/** Settings of every mesh, from the environment. A killed process is missed after two seconds. */
export function meshSettings(): Pick<MeshOptions, "bind" | "psk" | "heartbeatMs" | "sessionTimeoutMs"> {
  return {
    bind: "127.0.0.1:0",
    psk: hexToBytes(fromEnvironment("DEMO_PSK")),
    heartbeatMs: 400,
    sessionTimeoutMs: 2_000,
  };
}

/** An event for the daemon: its number. */
export function encodeNumber(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
}

/** The number of an event. */
export function decodeNumber(bytes: Uint8Array, offset = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(offset);
}

const ANSWER_BYTES = 12;

/** A node's answer to an event: processed, or to be sent to the node that has the daemon now; 0 for none known. */
export interface Answer {
  readonly number: number;
  readonly movedTo: bigint | undefined;
}

export function encodeAnswer({ number, movedTo }: Answer): Uint8Array {
  const bytes = new Uint8Array(movedTo === undefined ? 4 : ANSWER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, number);
  if (movedTo !== undefined) view.setBigUint64(4, movedTo);
  return bytes;
}

export function decodeAnswer(bytes: Uint8Array): Answer {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const movedTo = bytes.length < ANSWER_BYTES ? undefined : view.getBigUint64(4);
  return { number: view.getUint32(0), movedTo };
}
