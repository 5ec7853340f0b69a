import { setTimeout as pause } from "node:timers/promises";
import type { Setup } from "../protocol.ts";
import type { Contact } from "../rivals/rival.ts";
import { median } from "../statistics.ts";
import { type WorkerProcess, withWorkers } from "../worker-process.ts";
import { endSettings, RELIABLE, TLS } from "./contestants.ts";
import { type Job, type MeasurementName, NO_SIDE, type Observation } from "./measurement.ts";

/** A node answers 64 handshake messages a second from one address, and through a relay all have the relay's. */
const PAUSE_MS = 40;

interface Course {
  readonly names: readonly [warm: MeasurementName, first: MeasurementName];
  readonly rival: "netmesh" | "tls";
  prepare(start: (name: string) => WorkerProcess): Promise<Setup & { readonly contact: Contact }>;
}

const COURSES: readonly Course[] = [
  {
    names: ["handshake", "handshake-first"],
    rival: "netmesh",
    async prepare(start) {
      const setup = { rival: RELIABLE.rival, settings: endSettings({}) };
      return { ...setup, contact: await start("listener").call("listen", { ...setup, isEcho: false }) };
    },
  },
  {
    names: ["handshake", "handshake-first"],
    rival: "tls",
    async prepare(start) {
      const setup = { rival: TLS.rival, settings: endSettings({}) };
      return { ...setup, contact: await start("listener").call("listen", { ...setup, isEcho: false }) };
    },
  },
  {
    names: ["handshake-relayed", "handshake-relayed-first"],
    rival: "netmesh",
    async prepare(start) {
      const { rival } = RELIABLE;
      const settings = endSettings({});
      const relay = await start("relay").call("relay", { rival, settings });
      const setup = { rival, settings: { ...settings, relay } };
      return { ...setup, contact: await start("listener").call("listen", { ...setup, isEcho: false }) };
    },
  },
];

/** Fresh ends connect one after the other; the kinds take turns. */
const handshake: Job = {
  id: "handshake",
  keys: COURSES.flatMap(({ names, rival }) =>
    names.map((name) => ({ name, unit: "ms", payloadBytes: 0, rival }) as const),
  ),
  run: ({ handshakes }) =>
    withWorkers(async (start) => {
      const courses = await Promise.all(
        COURSES.map(async (course) => ({
          worker: start(`${course.rival} connector`),
          params: await course.prepare(start),
          milliseconds: [] as number[],
        })),
      );
      for (let i = 0; i < handshakes; i++) {
        for (const { worker, params, milliseconds } of courses) {
          milliseconds.push((await worker.call("handshake", params)).milliseconds);
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
