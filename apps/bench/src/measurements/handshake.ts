import { setTimeout as pause } from "node:timers/promises";
import type { RivalName } from "../rivals/rival.ts";
import { median } from "../statistics.ts";
import { type StartWorker, withWorkers } from "../worker-process.ts";
import { endSettings, RELIABLE, TLS } from "./contestants.ts";
import { type Job, type MeasurementName, NO_SIDE, type Observation } from "./measurement.ts";

/** A node answers 32 handshake messages a second of one node at one address, and 128 through one relay. */
const PAUSE_MS = 40;

interface Course {
  readonly names: readonly [warm: MeasurementName, first: MeasurementName];
  readonly label: string;
  readonly rival: RivalName;
  readonly isRelayed: boolean;
}

const COURSES: readonly Course[] = [
  { names: ["handshake", "handshake-first"], label: "netmesh", rival: RELIABLE.rival, isRelayed: false },
  { names: ["handshake", "handshake-first"], label: "tls", rival: TLS.rival, isRelayed: false },
  {
    names: ["handshake-relayed", "handshake-relayed-first"],
    label: "netmesh",
    rival: RELIABLE.rival,
    isRelayed: true,
  },
];

async function prepare(start: StartWorker, { label, rival, isRelayed }: Course) {
  const worker = start(`${label} connector`, rival);
  const listener = start(`${label} listener`, rival);
  let settings = endSettings({});
  if (isRelayed) {
    const relay = await start(`${label} relay`, rival).call("relay", { settings });
    settings = { ...settings, relay };
  }
  const contact = await listener.call("listen", { settings, isEcho: false });
  return { worker, target: { settings, contact }, milliseconds: [] as number[] };
}

/** Fresh ends connect one after the other; the kinds take turns. */
const handshake: Job = {
  id: "handshake",
  keys: COURSES.flatMap(({ names, label }) =>
    names.map((name) => ({ name, unit: "ms", payloadBytes: 0, rival: label }) as const),
  ),
  run: ({ handshakes }) =>
    withWorkers(async (start) => {
      const courses = await Promise.all(COURSES.map((course) => prepare(start, course)));
      for (let i = 0; i < handshakes; i++) {
        for (const { worker, target, milliseconds } of courses) {
          milliseconds.push((await worker.call("handshake", target)).milliseconds);
        }
        await pause(PAUSE_MS);
      }
      return courses.flatMap(({ milliseconds: [first = Number.NaN, ...others] }) => [
        observation(median(others) ?? first),
        observation(first),
      ]);
    }),
};

function observation(value: number): Observation {
  return {
    value,
    loss: null,
    cpuMicrosecondsPerEvent: NO_SIDE,
    peakRssBytes: NO_SIDE,
    eventsPerPacket: null,
  };
}

/** From the call to connect until events can be sent. */
export const handshakeJobs: readonly Job[] = [handshake];
