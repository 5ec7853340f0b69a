import type { MeshStats } from "@netmesh/sdk";

/** Where a relay tells what it does: JSON lines, or one line on a terminal that is written over. */
export interface Reporter {
  /** Something happened once. */
  event(name: string, details: Readonly<Record<string, unknown>>): void;
  /** How things stand. */
  status(stats: MeshStats, elapsedMs: number): void;
}

interface Output {
  write(text: string): unknown;
}

/** One JSON object a line; bigints as hex strings. */
export class JsonReporter implements Reporter {
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  event(name: string, details: Readonly<Record<string, unknown>>): void {
    this.#out.write(`${JSON.stringify({ event: name, ...details })}\n`);
  }

  status(stats: MeshStats): void {
    this.event("status", { ...summary(stats) });
  }
}

/** Lines for people, the last of which is the status. */
export class TerminalReporter implements Reporter {
  readonly #out: Output;
  #last: { readonly forwarded: number; readonly bytes: number } = { forwarded: 0, bytes: 0 };

  constructor(out: Output) {
    this.#out = out;
  }

  event(name: string, details: Readonly<Record<string, unknown>>): void {
    const rest = Object.entries(details)
      .filter(([, value]) => value !== undefined && typeof value !== "object")
      .map(([key, value]) => `${key} ${String(value)}`);
    this.#out.write(`\r\u001b[K${name}${rest.length === 0 ? "" : `: ${rest.join(", ")}`}\n`);
  }

  status(stats: MeshStats, elapsedMs: number): void {
    const { forwarded, bytesForwarded } = stats.counters;
    const perSecond = (count: number) => Math.round((count * 1_000) / Math.max(1, elapsedMs));
    const packets = perSecond(forwarded - this.#last.forwarded);
    const megabytes = (perSecond(bytesForwarded - this.#last.bytes) / 1e6).toFixed(1);
    this.#last = { forwarded, bytes: bytesForwarded };
    const { dropped } = summary(stats);
    this.#out.write(
      `\r\u001b[K${stats.peers} peers · ${packets} packets/s · ${megabytes} MB/s · ${forwarded} forwarded · ${dropped} dropped`,
    );
  }
}

/** The figures of a relay that matter to its operator. */
export interface RelaySummary {
  readonly peers: number;
  readonly received: number;
  readonly sent: number;
  readonly forwarded: number;
  readonly bytesForwarded: number;
  /** Forwarded packets that were tried with the relay's own keys, and those that one of them opened. */
  readonly relayAudited: number;
  readonly relayOpened: number;
  readonly dropped: number;
  readonly counters: MeshStats["counters"];
}

/** Picks {@link RelaySummary} from a mesh's figures. */
export function summary(stats: MeshStats): RelaySummary {
  const { counters } = stats;
  return {
    peers: stats.peers,
    received: counters.datagramsReceived,
    sent: counters.datagramsSent,
    forwarded: counters.forwarded,
    bytesForwarded: counters.bytesForwarded,
    relayAudited: counters.relayAudited,
    relayOpened: counters.relayOpened,
    dropped:
      counters.unknownPrefix +
      counters.short +
      counters.badMagic +
      counters.badVersion +
      counters.noSession +
      counters.authFailed +
      counters.replay +
      counters.routedExpired +
      counters.routedNoRoute +
      counters.routedStranger +
      counters.routedBounce +
      counters.routedRefused,
    counters,
  };
}
