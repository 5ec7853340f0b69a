import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Identity, platformRandom, staticKeyPairFromIdentity } from "@netmesh/crypto";
import { type Clock, type CoreSink, MeshCore, type Session, type Stream } from "@netmesh/mesh";
import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { type ForgedKind, forgeDatagram } from "./forged-datagram.ts";

/** Datagrams in one input of an engine, as a transport gives them. */
const BATCH = 64;
/** Forged datagrams, each from an address of its own; they are used again after this many. */
const FORGED = 32_768;
const EVENT_BYTES = 1_024;
const EVENTS_PER_WRITE = 16;
/** The flood comes and goes this often, so that both halves of the run see the same machine. */
const SLICE_MS = 50;
const CONNECT_MS = 10_000;
const MAX_DATAGRAM_BYTES = 8_320;

/** What a flood does to two engines in one process. */
export interface EngineFlood {
  /** 1 KiB events delivered per second, without the flood and with it. */
  readonly quietPerSecond: number;
  readonly floodedPerSecond: number;
  /** Time that one forged datagram takes, public-key operations included. */
  readonly nanosecondsPerPacket: number;
  readonly forgedPerSecond: number;
  /** Heap and array buffers before and after, without garbage. */
  readonly heapBytesBefore: number;
  readonly heapBytesAfter: number;
}

/** Datagrams on their way from one engine to the other; buffers are used again. */
class Link implements CoreSink {
  readonly #address: SocketAddress;
  readonly #free: Uint8Array[] = [];
  #waiting: Uint8Array[] = [];
  #lengths: number[] = [];
  readonly #batch = new DatagramBatch();
  readonly event: CoreSink["event"];

  /** @param address - what the datagrams come from */
  constructor(address: SocketAddress, onEvent: CoreSink["event"]) {
    this.#address = address;
    this.event = onEvent;
  }

  send(batch: DatagramBatch): number {
    for (let i = 0; i < batch.count; i++) {
      const bytes = batch.bytes[i] as Uint8Array;
      const buffer = this.#free.pop() ?? new Uint8Array(MAX_DATAGRAM_BYTES);
      buffer.set(bytes);
      this.#waiting.push(buffer);
      this.#lengths.push(bytes.length);
    }
    return batch.count;
  }

  /** Hands everything over, batch by batch; `sink` takes what the engine answers. */
  deliver(to: MeshCore, sink: CoreSink): void {
    const buffers = this.#waiting;
    const lengths = this.#lengths;
    this.#waiting = [];
    this.#lengths = [];
    for (let start = 0; start < buffers.length; start += BATCH) {
      this.#batch.clear();
      for (let i = start; i < Math.min(buffers.length, start + BATCH); i++) {
        this.#batch.push((buffers[i] as Uint8Array).subarray(0, lengths[i]), this.#address);
      }
      to.receive(this.#batch);
      to.drain(sink);
    }
    this.#free.push(...buffers);
  }
}

/**
 * The clock of the measurement and of the engines: processor time of this process, which is busy throughout. On an idle
 * machine it goes as the wall's does; on another one, what others take away makes neither the flood denser nor the engines
 * slower. It stands still between two looks.
 */
class BusyClock implements Clock {
  #nowMs = 0;

  now(): number {
    return this.#nowMs;
  }

  /** Looks at the time, and returns it. */
  look(): number {
    const { user, system } = process.cpuUsage();
    this.#nowMs = (user + system) / 1_000;
    return this.#nowMs;
  }
}

/** Two engines with a session, one pumping reliable events to the other as fast as both can. */
class EnginePair {
  readonly a: MeshCore;
  readonly b: MeshCore;
  readonly victimId: bigint;
  readonly clock = new BusyClock();
  delivered = 0;
  readonly #toB: Link;
  readonly #toA: Link;
  readonly #events = Array.from({ length: EVENTS_PER_WRITE }, () => new Uint8Array(EVENT_BYTES).fill(0x5a));
  #session: Session | undefined;
  #stream: Stream | undefined;

  constructor() {
    const [atA, atB] = ["127.0.0.1:1", "127.0.0.1:2"].map((text) => SocketAddress.parse(text)) as [
      SocketAddress,
      SocketAddress,
    ];
    const psk = new Uint8Array(32).fill(7);
    const [a, b] = [Identity.generate(), Identity.generate()];
    const keys = staticKeyPairFromIdentity(b);
    this.clock.look();
    const settings = { psk, clock: this.clock, random: platformRandom };
    this.a = new MeshCore({ ...settings, nodeId: a.nodeId, staticKeyPair: staticKeyPairFromIdentity(a) });
    this.b = new MeshCore({ ...settings, nodeId: b.nodeId, staticKeyPair: keys });
    this.victimId = b.nodeId;
    let isConnected = false;
    this.#toB = new Link(atA, (event) => {
      if (event.type === "connected") isConnected = true;
    });
    this.#toA = new Link(atB, (event) => {
      if (event.type !== "data") return;
      this.delivered += event.packet.events.length;
      this.b.consumed(event.session, event.stream, event.packet.wireBytes);
    });
    this.b.start();
    this.a.connect(b.nodeId, keys.publicKey, atB, "routed");
    this.a.drain(this.#toB);
    const until = performance.now() + CONNECT_MS;
    while (!isConnected && performance.now() < until) {
      this.clock.look();
      this.#exchange();
    }
    if (!isConnected) throw new Error("the engines do not connect");
    const opened = this.a.openStream(b.nodeId, 1n, { reliability: "reliable", windowBytes: 1 << 20 });
    this.#session = opened.session;
    this.#stream = opened.stream;
    this.b.openStream(a.nodeId, 1n, { reliability: "reliable", windowBytes: 1 << 20 });
    this.b.drain(this.#toA);
  }

  /** Writes what there is room for, and lets both sides take what has arrived. */
  pump(): void {
    this.a.write(this.#session as Session, this.#stream as Stream, this.#events);
    this.a.drain(this.#toB);
    this.#exchange();
  }

  /** Gives datagrams of strangers to the receiving engine. */
  feed(batch: DatagramBatch): void {
    this.b.receive(batch);
    this.b.drain(this.#toA);
  }

  close(): void {
    this.a.close();
    this.b.close();
  }

  #exchange(): void {
    this.#toB.deliver(this.b, this.#toA);
    this.#toA.deliver(this.a, this.#toB);
    this.a.wake();
    this.a.drain(this.#toB);
    this.b.wake();
    this.b.drain(this.#toA);
  }
}

/** Forged datagrams of some kinds in turn, each from another address. */
class ForgedStock {
  readonly #bytes: Uint8Array[];
  readonly #addresses: SocketAddress[];
  readonly #batch = new DatagramBatch();
  #next = 0;

  constructor(kinds: readonly ForgedKind[], nodeId: bigint) {
    this.#bytes = Array.from({ length: FORGED }, (_, i) =>
      forgeDatagram(kinds[i % kinds.length] as ForgedKind, nodeId),
    );
    this.#addresses = Array.from({ length: FORGED }, (_, i) =>
      SocketAddress.parse(`198.18.${i >> 8}.${i & 255}:${1_024 + (i % 60_000)}`),
    );
  }

  /** The next batch. */
  take(): DatagramBatch {
    this.#batch.clear();
    for (let i = 0; i < BATCH; i++) {
      this.#batch.push(this.#bytes[this.#next] as Uint8Array, this.#addresses[this.#next] as SocketAddress);
      this.#next = (this.#next + 1) % FORGED;
    }
    return this.#batch;
  }
}

/** Pumps events through two engines, half of the time under a flood of that many packets per second. */
export function floodEngine(
  kinds: readonly ForgedKind[],
  packetsPerSecond: number,
  warmUpMs: number,
  milliseconds: number,
): EngineFlood {
  const pair = new EnginePair();
  const stock = new ForgedStock(kinds, pair.victimId);
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc") as () => void;
  const heapBytes = () => {
    collectGarbage();
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  run(pair, stock, packetsPerSecond, warmUpMs);
  const heapBytesBefore = heapBytes();
  const { quiet, flooded, forged, forgedMs } = run(pair, stock, packetsPerSecond, milliseconds);
  const heapBytesAfter = heapBytes();
  pair.close();
  return {
    quietPerSecond: (quiet.events * 1_000) / quiet.ms,
    floodedPerSecond: (flooded.events * 1_000) / flooded.ms,
    nanosecondsPerPacket: (forgedMs * 1e6) / forged,
    forgedPerSecond: (forged * 1_000) / flooded.ms,
    heapBytesBefore,
    heapBytesAfter,
  };
}

interface Half {
  events: number;
  ms: number;
}

function run(pair: EnginePair, stock: ForgedStock, packetsPerSecond: number, milliseconds: number) {
  const quiet: Half = { events: 0, ms: 0 };
  const flooded: Half = { events: 0, ms: 0 };
  let forged = 0;
  let forgedMs = 0;
  const { clock } = pair;
  const end = clock.look() + milliseconds;
  for (let isFlooded = false; clock.look() < end; isFlooded = !isFlooded) {
    const start = clock.look();
    const before = pair.delivered;
    let fed = 0;
    let now = start;
    while (now - start < SLICE_MS) {
      pair.pump();
      now = clock.look();
      if (!isFlooded) continue;
      // Whole batches, so that looking at the clock costs little beside them.
      const due = ((now - start) * packetsPerSecond) / 1_000;
      if (due - fed < BATCH) continue;
      for (; due - fed >= BATCH; fed += BATCH) pair.feed(stock.take());
      const after = clock.look();
      forgedMs += after - now;
      now = after;
    }
    forged += fed;
    const half = isFlooded ? flooded : quiet;
    half.events += pair.delivered - before;
    half.ms += now - start;
  }
  return { quiet, flooded, forged, forgedMs };
}
