import type { AeadName } from "@netmesh/sdk";

/** Everything that is measured under the same loops. */
export type RivalName = "netmesh-reliable" | "netmesh-fire-and-forget" | "dgram" | "tls";

/** Where and how a listening or relaying end is reached; travels between processes as JSON. */
export interface Contact {
  readonly host: string;
  readonly port: number;
  /** netmesh only: node id and Noise public key in hexadecimal. */
  readonly nodeId?: string;
  readonly publicKey?: string;
}

/** What both ends of a measurement agree on. */
export interface EndSettings {
  /** Pre-shared key of netmesh and TLS: 32 bytes in hexadecimal. */
  readonly secret: string;
  /** Traffic goes through this relay or forwarder. */
  readonly relay?: Contact;
  /** netmesh only: datagram size; undefined leaves its default. */
  readonly datagramBytes?: number;
  /** netmesh only: what seals packets; undefined leaves its default. */
  readonly aead?: AeadName;
  /** netmesh only: pause between heartbeats in milliseconds; undefined leaves its default. */
  readonly heartbeatMs?: number;
  /** netmesh only: packets are read whole, not event by event. */
  readonly readsBatches?: boolean;
}

/** One way to carry events between two processes. */
export interface Rival {
  /** Prepares one end without connecting it. */
  open(settings: EndSettings): Promise<End>;
  /** Starts what passes traffic on between two ends; absent where there is no such thing. */
  relay?(settings: EndSettings): Promise<Relay>;
}

/** One process's side. */
export interface End {
  /** Starts to accept links. */
  listen(onLink: (link: Link) => void): Promise<Contact>;
  /** Makes a link; resolves once events can be sent. */
  connect(contact: Contact): Promise<Link>;
  /** Releases everything, links included. */
  close(): Promise<void>;
}

/** A connection that carries events both ways. */
export interface Link {
  /** Called with every event that arrives, unless they are read in batches; the bytes are valid during the call. */
  onEvent: (event: Uint8Array) => void;
  /** Called with every batch that arrives, where they are read so. */
  onBatch?: (events: readonly Uint8Array[]) => void;
  /** Sends one event. A promise asks the caller to wait for it before the next one. */
  send(event: Uint8Array): Promise<void> | undefined;
  /** As `send`, for several events at once; absent where there is no such thing. */
  sendAll?(events: readonly Uint8Array[]): Promise<void> | undefined;
  /** Data packets sent so far; undefined where the operating system cuts the packets. */
  packetsSent(): number | undefined;
}

/** A process in the middle. */
export interface Relay {
  readonly contact: Contact;
  /** Packets passed on so far, both directions. */
  forwarded(): number;
  close(): Promise<void>;
}

/** An `onEvent` for links nobody listens on. */
export const ignoreEvent: (event: Uint8Array) => void = () => {};
