import { type Contact, type FailedMessage, fromEnvironment } from "@netmesh/demo-processes";
import { hexToBytes, type MeshOptions } from "@netmesh/sdk";

/** What a process prints, one JSON object a line. */
export type Message =
  | ({ readonly event: "listening" } & Contact)
  | { readonly event: "progress"; readonly leg: Leg; readonly bytes: number; readonly total: number }
  | ({ readonly event: "sent"; readonly leg: Leg } & Sent)
  | ({ readonly event: "received"; readonly leg: Leg } & Received)
  | {
      readonly event: "stopped";
      readonly forwarded: number;
      readonly relayAudited: number;
      readonly relayOpened: number;
    }
  | FailedMessage
  | { readonly event: "status" | "created" | "peer-connected" | "peer-lost" | "peer-recovered" };

/** Over the relay, or straight. */
export type Leg = "relayed" | "direct";

/** The messages of one kind. */
export type MessageOf<E extends Message["event"]> = Extract<Message, { event: E }>;

/** Whether a message is of that kind, and of that leg when one is given. */
export function is<E extends Message["event"]>(
  event: E,
  leg?: Leg,
): (message: Message) => message is MessageOf<E> {
  return (message): message is MessageOf<E> =>
    message.event === event && (leg === undefined || (message as { leg?: Leg }).leg === leg);
}

/** Stream ids of the two transfers. */
export const STREAM_IDS: Readonly<Record<Leg, bigint>> = { relayed: 1n, direct: 2n };

/** What the sender measured. */
export interface Sent {
  readonly bytes: number;
  readonly milliseconds: number;
  readonly packets: number;
  readonly retransmissions: number;
  readonly path: string;
  readonly sha256: string;
}

/** What the receiver found. */
export interface Received {
  readonly bytes: number;
  readonly sha256: string;
  readonly complete: boolean;
}

/** First event of a transfer. */
export interface FileHeader {
  readonly name: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** Settings of both meshes, from the environment: the key, and how long silence is borne. */
export function meshSettings(): Pick<MeshOptions, "bind" | "psk" | "heartbeatMs" | "sessionTimeoutMs"> {
  const sessionTimeoutMs = Number(process.env["DEMO_SESSION_TIMEOUT_MS"] ?? 30_000);
  return {
    bind: "127.0.0.1:0",
    psk: hexToBytes(fromEnvironment("DEMO_PSK")),
    heartbeatMs: sessionTimeoutMs / 6,
    sessionTimeoutMs,
  };
}
