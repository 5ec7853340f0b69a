import { bytesToHex, hexToBytes, type MeshOptions, type PeerContact } from "@netmesh/sdk";

/** How to reach a process of the demo, as it travels between processes: hex strings instead of bytes and bigints. */
export interface Contact {
  readonly address: string;
  readonly nodeId: string;
  readonly publicKey: string;
}

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
  | { readonly event: "failed"; readonly code: string; readonly message: string }
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

/** Prints a message for the parent process. */
export function tell(message: Message): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** A contact as the SDK takes it. */
export function fromContact(contact: Contact): PeerContact & { readonly address: string } {
  return {
    address: contact.address,
    nodeId: BigInt(`0x${contact.nodeId}`),
    publicKey: hexToBytes(contact.publicKey),
  };
}

/** A contact of a mesh for another process. */
export function toContact(contact: PeerContact & { readonly address: string }): Contact {
  return {
    address: contact.address,
    nodeId: contact.nodeId.toString(16).padStart(16, "0"),
    publicKey: bytesToHex(contact.publicKey),
  };
}

/** The contact and the key that a process was started with. */
export function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
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

/** Runs a process of the demo; a failure is told to the parent and becomes the exit code. */
export async function runProcess(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const { code = "unexpected", message } = error as { code?: string; message: string };
    tell({ event: "failed", code, message });
    process.exitCode = 1;
  }
}
