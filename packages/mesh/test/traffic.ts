import type { CoreEvent } from "../src/core/events.ts";
import type { MeshError } from "../src/errors.ts";
import type { Session } from "../src/session/session.ts";
import type { Stream } from "../src/stream/stream.ts";
import type { StreamOptions } from "../src/stream/stream-options.ts";
import {
  createTestNetwork,
  type TestNetwork,
  type TestNetworkOptions,
  type TestNode,
  type TestNodeOptions,
} from "../src/testing/index.ts";

/** A reliable, ordered stream with room for a burst. */
export const RELIABLE: StreamOptions = { reliability: "reliable", windowBytes: 1 << 20 };
/** Reliable, in order of arrival. */
export const UNORDERED: StreamOptions = { ...RELIABLE, ordered: false };

/** Nodes whose datagrams have one size, for tests that count packets or place a loss. */
export const FIXED: TestNodeOptions = { datagramBytes: 1_200 };

/** An application that writes events to a stream as fast as there is room. */
export class Sending {
  readonly node: TestNode;
  readonly session: Session;
  readonly stream: Stream;
  failure: MeshError | undefined;
  drains = 0;
  readonly #waiting: Uint8Array[] = [];
  #isFinishing = false;

  constructor(node: TestNode, to: TestNode, streamId: bigint, options: StreamOptions) {
    this.node = node;
    const opened = node.call((core) => core.openStream(to.nodeId, streamId, options));
    this.session = opened.session;
    this.stream = opened.stream;
    node.listeners.add((event) => this.#on(event));
  }

  /** Events that found no room yet. */
  get waiting(): number {
    return this.#waiting.length;
  }

  write(...events: Uint8Array[]): this {
    this.#waiting.push(...events);
    this.#pump();
    return this;
  }

  finish(): this {
    this.#isFinishing = true;
    this.#pump();
    return this;
  }

  #on(event: CoreEvent): void {
    if (!("stream" in event) || event.stream !== this.stream) return;
    if (event.type === "stream-failed") this.failure = event.error;
    if (event.type === "stream-drained") this.drains++;
    if (event.type === "stream-writable") this.#pump();
  }

  #pump(): void {
    if (this.failure !== undefined) return;
    const taken = this.node.call((core) => core.write(this.session, this.stream, this.#waiting));
    this.#waiting.splice(0, taken);
    if (this.#waiting.length === 0 && this.#isFinishing) {
      this.node.call((core) => core.finish(this.session, this.stream));
    }
  }
}

/** An application that takes what arrives on a stream. */
export class Receiving {
  readonly node: TestNode;
  readonly session: Session;
  readonly stream: Stream;
  readonly events: Uint8Array[] = [];
  readonly sequences: number[] = [];
  failure: MeshError | undefined;
  ends = 0;
  #isReading: boolean;
  #unread = 0;

  constructor(node: TestNode, from: TestNode, streamId: bigint, options: StreamOptions, isReading = true) {
    this.node = node;
    this.#isReading = isReading;
    const opened = node.call((core) => core.openStream(from.nodeId, streamId, options));
    this.session = opened.session;
    this.stream = opened.stream;
    node.listeners.add((event) => this.#on(event));
  }

  /** The numbers that {@link numbered} wrote, in order of arrival. */
  get numbers(): number[] {
    return this.events.map(numberOf);
  }

  /** Begins to take events; those that arrived before at once. */
  read(): void {
    this.#isReading = true;
    const bytes = this.#unread;
    this.#unread = 0;
    this.node.call((core) => core.consumed(this.session, this.stream, bytes));
  }

  #on(event: CoreEvent): void {
    if (!("stream" in event) || event.stream !== this.stream) return;
    if (event.type === "stream-failed") this.failure = event.error;
    if (event.type === "stream-ended") this.ends++;
    if (event.type !== "data") return;
    this.events.push(...event.packet.events);
    this.sequences.push(event.packet.sequence);
    if (this.#isReading) {
      this.node.call((core) => core.consumed(this.session, this.stream, event.packet.wireBytes));
    } else this.#unread += event.packet.wireBytes;
  }
}

/** `count` events of `bytes` bytes that begin with their number from `first` up. */
export function numbered(count: number, bytes = 100, first = 0): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => {
    const event = new Uint8Array(Math.max(4, bytes)).fill(first + i);
    new DataView(event.buffer).setUint32(0, first + i);
    return event;
  });
}

/** The number of an event made by {@link numbered}. */
export function numberOf(event: Uint8Array): number {
  return new DataView(event.buffer, event.byteOffset).getUint32(0);
}

/** 0 to `count`, `count` excluded. */
export function range(count: number, first = 0): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** Two connected nodes; the first has dialled. */
export function pair(options: TestNetworkOptions = {}): { network: TestNetwork; a: TestNode; b: TestNode } {
  const network = createTestNetwork(2, options);
  const [a, b] = network.nodes as [TestNode, TestNode];
  a.connect(b);
  network.advance(500);
  return { network, a, b };
}

/** Two nodes that are connected through a third. */
export function relayed(options: TestNetworkOptions = {}): {
  network: TestNetwork;
  a: TestNode;
  b: TestNode;
  relay: TestNode;
} {
  const network = createTestNetwork(3, options);
  const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
  a.connect(relay);
  b.connect(relay);
  a.connect(b, relay);
  network.advance(500);
  return { network, a, b, relay };
}

/** Lets time pass until `done`; throws with the seed when it never is. */
export function until(network: TestNetwork, done: () => boolean, limitMs = 120_000): void {
  if (!network.clock.advanceUntil(done, limitMs)) {
    throw new Error(`not within ${limitMs} ms of virtual time (${network.label})`);
  }
}

/** Runs the scenario with each seed; a failure names the seed. */
export function withSeeds(seeds: readonly number[], scenario: (seed: number) => void): void {
  for (const seed of seeds) {
    try {
      scenario(seed);
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}`, { cause: error });
    }
  }
}

/** The code of the error that `run` throws; undefined when it throws none. */
export function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    return (error as MeshError).code;
  }
  return undefined;
}
