import { type ForgedKind, HANDSHAKE_KINDS } from "../flood/forged-datagram.ts";
import { withWorkers } from "../worker-process.ts";
import { endSettings, RELIABLE } from "./contestants.ts";
import { perSecond } from "./flow.ts";
import { type Job, type Limits, type MeasurementKey, NO_SIDE, type Observation } from "./measurement.ts";

/** Forged datagrams a second. */
const PACKETS_PER_SECOND = 100_000;
const PAYLOAD_BYTES = 1_024;
/** The flood begins so long before the measurement: what it costs in its first second, it does not cost again. */
const LEAD_MS = 1_500;
/** And goes on so long after it. */
const TAIL_MS = 300;

/** What is sent to the node beside its session's traffic. */
interface Flood {
  readonly label: string;
  readonly kinds: readonly ForgedKind[];
}

/** Handshake messages of all kinds; the dearest kind; and as a control, datagrams that are told by two bytes. */
const FLOODS: readonly Flood[] = [
  { label: "handshakes", kinds: HANDSHAKE_KINDS },
  { label: "stamped", kinds: ["stamped"] },
  { label: "junk", kinds: ["junk"] },
];

/** Two engines in one process: what a forged datagram costs where there is no socket. */
function engine({ label, kinds }: Flood): Job {
  const rival = `engine-${label}`;
  const key = { payloadBytes: PAYLOAD_BYTES, rival };
  return {
    id: `flood:${rival}`,
    keys: [
      { name: "flood-goodput", unit: "×", ...key },
      { name: "flood-packet", unit: "ns", ...key },
      { name: "flood-rate", unit: "packets/s", ...key },
      { name: "flood-heap", unit: "B", ...key },
    ],
    run: ({ seconds, warmUpSeconds }) =>
      withWorkers(async (start) => {
        const worker = start("engines", RELIABLE.rival);
        const warmUpMs = warmUpSeconds * 1_000;
        // Half of it is quiet.
        const milliseconds = seconds * 2_000;
        const params = { kinds, packetsPerSecond: PACKETS_PER_SECOND, warmUpMs, milliseconds };
        const found = await worker.call("floodEngine", params, warmUpMs + milliseconds);
        return [
          observation(found.floodedPerSecond / found.quietPerSecond),
          observation(found.nanosecondsPerPacket),
          observation(found.forgedPerSecond),
          observation(found.heapBytesAfter - found.heapBytesBefore),
        ];
      }),
  };
}

/** Three processes on loopback: a session's two, and one that floods the receiving end. */
function sockets({ label, kinds }: Flood): Job {
  const rival = `sockets-${label}`;
  const key: Omit<MeasurementKey, "name" | "unit"> = { payloadBytes: PAYLOAD_BYTES, rival };
  return {
    id: `flood:${rival}`,
    keys: [
      { name: "flood-goodput", unit: "×", ...key },
      { name: "flood-rate", unit: "packets/s", ...key },
    ],
    run: (limits) => floodSockets(kinds, limits),
  };
}

async function floodSockets(
  kinds: readonly ForgedKind[],
  { seconds, warmUpSeconds }: Limits,
): Promise<Observation[]> {
  return await withWorkers(async (start) => {
    const { rival, isReliable } = RELIABLE;
    const receiver = start("receiver", rival);
    const sender = start("sender", rival);
    const attacker = start("attacker", "dgram");
    const settings = endSettings(RELIABLE);
    const contact = await receiver.call("listen", { settings, isEcho: false });
    await sender.call("connect", { settings, contact });
    const all = [sender, receiver];

    const flow = async (milliseconds: number) => {
      await Promise.all(all.map((worker) => worker.call("begin", null)));
      const params = { payloadBytes: PAYLOAD_BYTES, batchEvents: 1, milliseconds };
      const { sent } = await sender.call("flood", params, milliseconds);
      const arrived = await receiver.call("settle", { expected: sent, isReliable }, milliseconds);
      return perSecond(arrived.events, arrived);
    };
    const milliseconds = seconds * 1_000;
    if (warmUpSeconds > 0) await flow(warmUpSeconds * 1_000);
    const quiet = await flow(milliseconds);
    const forging = { kinds, contact, packetsPerSecond: PACKETS_PER_SECOND };
    const duration = LEAD_MS + milliseconds + TAIL_MS;
    const attack = attacker.call("forge", { ...forging, milliseconds: duration }, duration);
    await new Promise((resolve) => setTimeout(resolve, LEAD_MS));
    const flooded = await flow(milliseconds);
    const { sent } = await attack;
    const { peakRssBytes } = await receiver.call("usage", null);
    return [
      { ...observation(flooded / quiet), peakRssBytes: { ...NO_SIDE, receiver: peakRssBytes } },
      observation((sent * 1_000) / duration),
    ];
  });
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

/** An established session's goodput while somebody else sends 100 000 datagrams a second. */
export const floodJobs: readonly Job[] = [...FLOODS.map(engine), ...FLOODS.map(sockets)];
