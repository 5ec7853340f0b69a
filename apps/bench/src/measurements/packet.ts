import { createCipheriv, createSecretKey } from "node:crypto";
import { type HeapProfiler, Session } from "node:inspector";
import { PerformanceObserver } from "node:perf_hooks";
import {
  type AeadProvider,
  aeadProvider,
  aeadProviderNames,
  PacketCipher,
  ReplayWindow,
} from "@netmesh/crypto";
import {
  PACKET_OFFSET,
  PacketBuilder,
  type PacketSlot,
  packetFields,
  SealingKey,
  SlotRing,
} from "@netmesh/pool";
import { EventFrameReader, HEADER_SIZE, PACKET_OVERHEAD } from "@netmesh/wire";
import { median } from "../statistics.ts";
import {
  type Job,
  type Limits,
  type MeasurementName,
  NO_SIDE,
  type Observation,
  type Unit,
} from "./measurement.ts";

/** Payload of the packets: one event of a small message, a datagram for the internet, a datagram for loopback. */
const PAYLOADS: readonly number[] = [64, 1_200, 8_000];
/** Rivals take turns of so many milliseconds. */
const TURN_MS = 10;
/** Packets over which allocations are counted. */
const ALLOCATION_PACKETS = 1_000_000;
/** One allocation in about so many bytes is looked at. */
const SAMPLING_BYTES = 4_096;
const KEY = new Uint8Array(32).fill(7);
const SESSION_ID = 0x1122_3344_5566_7788n;

/** One step of work on one packet; any number of its result. */
type Step = () => number;

/** A contestant: a step, and how many packets each call processes. */
interface Contestant {
  readonly rival: string;
  readonly step: Step;
  readonly packets: number;
}

function slotOf(provider: AeadProvider): PacketSlot {
  return new SlotRing(undefined, 1, provider.memory).acquire() as PacketSlot;
}

function sealing(payload: number): Contestant[] {
  const ours = aeadProviderNames().map((rival) => {
    const provider = aeadProvider(rival);
    const { bytes } = slotOf(provider);
    const cipher = new PacketCipher(KEY, SESSION_ID, provider);
    let counter = 0;
    return {
      rival,
      packets: 1,
      step: () => cipher.sealPacket(bytes, PACKET_OFFSET, payload, counter++, 0),
    };
  });
  return [...ours, nodeCrypto(payload)];
}

/** What one writes with Node alone; the packet stays where it was, the cipher text comes in an array of its own. */
function nodeCrypto(payload: number): Contestant {
  const key = createSecretKey(KEY);
  const nonce = new Uint8Array(12);
  const aad = new Uint8Array(56);
  const plain = new Uint8Array(payload);
  return {
    rival: "node:crypto",
    packets: 1,
    step() {
      nonce[4] = ((nonce[4] as number) + 1) & 255;
      const cipher = createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
      cipher.setAAD(aad, { plaintextLength: payload });
      const sealed = cipher.update(plain);
      cipher.final();
      return sealed.length + cipher.getAuthTag().length;
    },
  };
}

function opening(payload: number): Contestant[] {
  return aeadProviderNames().map((rival) => {
    const provider = aeadProvider(rival);
    const slot = slotOf(provider);
    const cipher = new PacketCipher(KEY, SESSION_ID, provider);
    const length = cipher.sealPacket(slot.bytes, PACKET_OFFSET, payload, 1, 0);
    const sealed = slot.bytes.slice(0, PACKET_OFFSET + length);
    return {
      rival,
      packets: 1,
      step() {
        slot.bytes.set(sealed);
        const opened = cipher.openPacket(slot.bytes, PACKET_OFFSET, length);
        if (opened < 0) throw new Error("the packet was not opened");
        return opened;
      },
    };
  });
}

/** Sixty-four packets in one call. */
function batching(payload: number): Contestant[] {
  const provider = aeadProvider();
  const count = 64;
  const ring = new SlotRing(undefined, count, provider.memory);
  const slots = Array.from({ length: count }, () => ring.acquire() as PacketSlot);
  const cipher = new PacketCipher(KEY, SESSION_ID, provider);
  const batch = provider.createBatch();
  let counter = 0;
  return [
    {
      rival: provider.name,
      packets: count,
      step() {
        for (let i = 0; i < count; i++) {
          cipher.addTo(batch, (slots[i] as PacketSlot).bytes, PACKET_OFFSET, payload, counter++, 0);
        }
        batch.seal();
        return counter;
      },
    },
  ];
}

/** A whole packet from one event: counter, header, event frame, seal. */
function building(payload: number): Contestant[] {
  return aeadProviderNames().map((rival) => {
    const provider = aeadProvider(rival);
    const slot = slotOf(provider);
    const builder = new PacketBuilder(new SealingKey(KEY, SESSION_ID, { provider }));
    const fields = packetFields();
    const events = [new Uint8Array(payload)];
    return {
      rival,
      packets: 1,
      step() {
        fields.sequenceLo++;
        return builder.buildInto(slot.bytes, PACKET_OFFSET, fields, events, 0, 1);
      },
    };
  });
}

/** What a receiver does with it: copy in, open, admit the counter, find the events. */
function receiving(payload: number): Contestant[] {
  return aeadProviderNames().map((rival) => {
    const provider = aeadProvider(rival);
    const slot = slotOf(provider);
    const builder = new PacketBuilder(new SealingKey(KEY, SESSION_ID, { provider }));
    const length = builder.buildInto(
      slot.bytes,
      PACKET_OFFSET,
      packetFields(),
      [new Uint8Array(payload)],
      0,
      1,
    );
    const sealed = slot.bytes.slice(0, PACKET_OFFSET + length);
    const cipher = new PacketCipher(KEY, SESSION_ID, provider);
    const frames = new EventFrameReader();
    const replay = new ReplayWindow();
    let counter = 0;
    return {
      rival,
      packets: 1,
      step() {
        slot.bytes.set(sealed);
        const opened = cipher.openPacket(slot.bytes, PACKET_OFFSET, length);
        if (opened < 0 || !replay.commit(counter++, 0)) throw new Error("the packet was not taken");
        frames.wrap(slot.bytes, PACKET_OFFSET + HEADER_SIZE, length - PACKET_OVERHEAD, 1);
        return frames.next() ? frames.end - frames.start : -1;
      },
    };
  });
}

const KINDS: readonly { readonly name: MeasurementName; readonly make: (payload: number) => Contestant[] }[] =
  [
    { name: "packet-seal", make: sealing },
    { name: "packet-open", make: opening },
    { name: "packet-seal-batch", make: batching },
    { name: "packet-build", make: building },
    { name: "packet-receive", make: receiving },
  ];

/** Where results go, so that the work cannot be optimised away. */
const consumed = { value: 0 };

/** Calls the step for about that long; nanoseconds per packet. */
function turn({ step, packets }: Contestant, milliseconds: number): number {
  const startedAt = process.hrtime.bigint();
  const until = startedAt + BigInt(Math.ceil(milliseconds * 1e6));
  let calls = 0;
  let now = startedAt;
  while (now < until) {
    for (let i = 0; i < 64; i++) consumed.value ^= step();
    calls += 64;
    now = process.hrtime.bigint();
  }
  return Number(now - startedAt) / (calls * packets);
}

/** Nanoseconds per packet of each, measured in turns: a disturbance meets all of them. */
function race(contestants: readonly Contestant[], { seconds, warmUpSeconds }: Limits): number[] {
  for (const contestant of contestants) turn(contestant, (warmUpSeconds * 1e3) / contestants.length);
  const turns = Math.max(1, Math.round((seconds * 1e3) / TURN_MS / contestants.length));
  const found = contestants.map(() => [] as number[]);
  for (let i = 0; i < turns; i++) {
    for (const [place, contestant] of contestants.entries()) found[place]?.push(turn(contestant, TURN_MS));
  }
  return found.map((times) => median(times) ?? Number.NaN);
}

/** Bytes allocated per packet over a million packets, and collections meanwhile. */
async function allocations(contestant: Contestant): Promise<{ bytes: number; collections: number }> {
  turn(contestant, 200);
  const bytes = allocatedBytes(() => run(contestant, ALLOCATION_PACKETS)) / ALLOCATION_PACKETS;
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  // What came before is collected before, not meanwhile.
  await new Promise((resolve) => setTimeout(resolve, 50));
  collections = 0;
  run(contestant, ALLOCATION_PACKETS);
  await new Promise((resolve) => setTimeout(resolve, 50));
  observer.disconnect();
  return { bytes, collections };
}

function run(contestant: Contestant, packets: number): void {
  for (let i = 0; i < packets; i++) consumed.value ^= contestant.step();
}

/** What the work allocates by the engine's sampling, whether or not it is collected before the end. */
function allocatedBytes(work: () => void): number {
  const session = new Session();
  session.connect();
  let profile: HeapProfiler.SamplingHeapProfile | undefined;
  try {
    // Calls answer before they return.
    session.post("HeapProfiler.startSampling", {
      samplingInterval: SAMPLING_BYTES,
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    });
    work();
    session.post("HeapProfiler.stopSampling", (error, result) => {
      if (error === null) profile = result.profile;
    });
  } finally {
    session.disconnect();
  }
  if (profile === undefined) throw new Error("the heap was not sampled");
  return sizeOf(profile.head);
}

function sizeOf({ selfSize, children }: HeapProfiler.SamplingHeapProfileNode): number {
  return children.reduce((size, child) => size + sizeOf(child), selfSize);
}

function observation(value: number): Observation {
  return {
    value,
    loss: null,
    cpuMicrosecondsPerEvent: NO_SIDE,
    peakRssBytes: NO_SIDE,
    eventsPerPacket: null,
  };
}

function speed(name: MeasurementName, make: (payload: number) => Contestant[], payloadBytes: number): Job {
  const rivals = make(payloadBytes).map(({ rival }) => rival);
  return {
    id: `packet:${name.slice("packet-".length)}:${payloadBytes}`,
    keys: rivals.map((rival) => ({ name, unit: "ns", payloadBytes, rival })),
    run: async (limits) => race(make(payloadBytes), limits).map(observation),
  };
}

function garbage(payloadBytes: number): Job {
  const rival = aeadProvider().name;
  const key = (name: MeasurementName, unit: Unit) => ({ name, unit, payloadBytes, rival });
  return {
    id: `packet:allocation:${payloadBytes}`,
    keys: [
      key("packet-build-allocation", "B"),
      key("packet-build-collections", "count"),
      key("packet-receive-allocation", "B"),
      key("packet-receive-collections", "count"),
    ],
    async run() {
      const found: Observation[] = [];
      for (const make of [building, receiving]) {
        const contestant = make(payloadBytes).find((one) => one.rival === rival) as Contestant;
        const { bytes, collections } = await allocations(contestant);
        found.push(observation(bytes), observation(collections));
      }
      return found;
    },
  };
}

/** Sealing and opening alone, without sockets, in this process: time for each provider, and garbage. */
export const packetJobs: readonly Job[] = [
  ...KINDS.flatMap(({ name, make }) => PAYLOADS.map((payload) => speed(name, make, payload))),
  ...PAYLOADS.map(garbage),
];
