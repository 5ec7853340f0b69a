import type { EngineFlood } from "./flood/engine-flood.ts";
import type { ForgedKind } from "./flood/forged-datagram.ts";
import type { Contact, EndSettings } from "./rivals/rival.ts";

/** What a worker does when it is asked, by name; parameters and results travel as JSON. */
export interface Calls {
  /** Accepts links, and counts what arrives or sends it back. */
  listen: { params: { readonly settings: EndSettings; readonly isEcho: boolean }; result: Contact };
  /** Passes packets of others on. */
  relay: { params: { readonly settings: EndSettings }; result: Contact };
  /** Makes the link that `flood` and `ping` use. */
  connect: { params: Target; result: null };
  /** Makes a link from a fresh end and closes it; `relay` in the settings is connected before the clock starts. */
  handshake: { params: Target; result: { readonly milliseconds: number } };
  /** Starts all counts anew. */
  begin: { params: null; result: null };
  /** Sends events of one size as fast as the link takes them. */
  flood: {
    params: {
      readonly payloadBytes: number;
      /** Events that are handed over at once, where the link takes several. */
      readonly batchEvents: number;
      readonly milliseconds: number;
    };
    result: { readonly sent: number };
  };
  /** Waits until that many events have arrived, or no more come. */
  settle: { params: { readonly expected: number; readonly isReliable: boolean }; result: Arrived };
  /** Sends events one by one, each after the answer to the one before. */
  ping: { params: { readonly payloadBytes: number; readonly count: number }; result: RoundTrips };
  /** Pumps events through two engines in this process, half of the time under a flood. */
  floodEngine: {
    params: {
      readonly kinds: readonly ForgedKind[];
      readonly packetsPerSecond: number;
      readonly warmUpMs: number;
      readonly milliseconds: number;
    };
    result: EngineFlood;
  };
  /** Sends forged datagrams to a node. */
  forge: {
    params: {
      readonly kinds: readonly ForgedKind[];
      readonly contact: Contact;
      readonly packetsPerSecond: number;
      readonly milliseconds: number;
    };
    result: { readonly sent: number };
  };
  /** What was used since `begin`. */
  usage: { params: null; result: Usage };
}

/** Where to connect, and how. */
export interface Target {
  readonly settings: EndSettings;
  readonly contact: Contact;
}

/** Events that a listener has counted. */
export interface Arrived {
  readonly events: number;
  /** From the first event to the last. */
  readonly milliseconds: number;
}

/** Round trips of a `ping`. */
export interface RoundTrips {
  readonly microseconds: readonly number[];
  /** Events without an answer. */
  readonly lost: number;
}

/** What a worker has used. */
export interface Usage {
  /** User and system time of all threads since `begin`. */
  readonly cpuMicroseconds: number;
  /** Largest resident set of the process so far. */
  readonly peakRssBytes: number;
  /** Data packets sent since `begin`; null where the operating system cuts them. */
  readonly packetsSent: number | null;
  /** Packets that a relay has passed on since `begin`. */
  readonly forwarded: number;
}

/** A call on its way to a worker. */
export interface Request {
  readonly id: number;
  readonly call: keyof Calls;
  readonly params: unknown;
}

/** Its answer. */
export type Response =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string };
