/** What a number is of. */
export interface MeasurementKey {
  readonly name: MeasurementName;
  readonly unit: Unit;
  /** Bytes of one event; 0 where no event is sent. */
  readonly payloadBytes: number;
  readonly rival: string;
}

export type MeasurementName =
  | "throughput"
  | "round-trip-p50"
  | "round-trip-p99"
  | "handshake"
  | "handshake-first"
  | "handshake-relayed"
  | "handshake-relayed-first"
  | "relay-throughput"
  | "relay-forwarded"
  | "healing-p50"
  | "healing-p99"
  | "healing-max"
  | "migration"
  | "migration-bytes"
  | "migration-pause-p50"
  | "migration-pause-p99"
  | "flood-goodput"
  | "flood-packet"
  | "flood-rate"
  | "flood-heap"
  | "packet-seal"
  | "packet-open"
  | "packet-seal-batch"
  | "packet-build"
  | "packet-receive"
  | "packet-build-allocation"
  | "packet-build-collections"
  | "packet-receive-allocation"
  | "packet-receive-collections"
  | "pipeline"
  | "pipeline-bytes"
  | "transport-relay"
  | "transport-direct-p50"
  | "transport-direct-p99"
  | "transport-relayed-p50"
  | "transport-relayed-p99"
  | "transport-relay-adds-p50"
  | "transport-relay-adds-p99"
  | "transport-throughput"
  | "transport-bytes"
  | "transport-round-trip-p50"
  | "transport-idle-cpu";

export type Unit = "events/s" | "packets/s" | "MB/s" | "ns" | "µs" | "ms" | "B" | "count" | "×" | "%";

/** A number for each of the processes that take part; null for those that do not, or where it means nothing. */
export interface PerSide {
  readonly sender: number | null;
  readonly receiver: number | null;
  readonly relay: number | null;
}

/** What one run of a measurement has found. */
export interface Observation {
  readonly value: number;
  /** Share of the events that did not arrive, 0 to 1; null where the link has no such thing. */
  readonly loss: number | null;
  readonly cpuMicrosecondsPerEvent: PerSide;
  readonly peakRssBytes: PerSide;
  /** How many events shared a packet; null where the operating system cuts the packets. */
  readonly eventsPerPacket: number | null;
}

/** One run of one measurement: what was found, or why nothing was. */
export type Run = Observation | { readonly error: string };

/** How long and how often to measure. */
export interface Limits {
  /** Times that everything is measured. */
  readonly runs: number;
  /** Duration of one measurement. */
  readonly seconds: number;
  /** What runs before it, unmeasured, so that the code is compiled. */
  readonly warmUpSeconds: number;
  /** Handshakes of each kind and run. */
  readonly handshakes: number;
}

/** Something that is measured in one go, by processes of its own. */
export interface Job {
  /** Group, payload and rival, as far as the job is of one: `throughput:64:tls`. `--only` takes its beginning. */
  readonly id: string;
  /** What the results of `run` are of, in their order. */
  readonly keys: readonly MeasurementKey[];
  /** Rejects when all of them have failed. */
  run(limits: Limits): Promise<readonly Run[]>;
}

/** No figure for any side. */
export const NO_SIDE: PerSide = { sender: null, receiver: null, relay: null };
