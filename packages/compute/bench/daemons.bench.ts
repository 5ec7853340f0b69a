import { memoryUsage } from "node:process";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Identity } from "@netmesh/crypto";
import { bench, describe } from "vitest";
import { type CausalEvent, type Daemon, DaemonHost, DaemonRuntime } from "../src/index.ts";

/** Deliveries a sample makes. */
const DELIVERIES = 10_000;

const payload = new Uint8Array(16);
const event: CausalEvent = {
  link: { originHash: 7n, horizon: 0n, sequence: 1n, parentHash: 0n },
  payload,
  receivedAt: 0n,
};

const mute: Daemon = { name: "mute", process: () => undefined };
const echo: Daemon = { name: "echo", process: ({ payload: said }) => said };
const later: Daemon = { name: "later", process: async ({ payload: said }) => said };

const runtime = new DaemonRuntime();
for (const daemon of [mute, echo, later]) runtime.registerFactory(daemon.name, () => daemon);
await runtime.start();
const origins = new Map<string, bigint>();
for (const { name } of [mute, echo, later]) origins.set(name, (await runtime.spawn(name)).originHash);

// Divide by 10 000 for one event.
describe(`${DELIVERIES} deliveries of 16 bytes through a runtime`, () => {
  for (const { name } of [mute, echo]) {
    const origin = origins.get(name) as bigint;
    bench(`${name}, at once`, () => {
      for (let i = 0; i < DELIVERIES; i++) void runtime.deliverNow(origin, event);
    });
    bench(`${name}, awaited`, async () => {
      for (let i = 0; i < DELIVERIES; i++) await runtime.deliver(origin, event);
    });
  }
  const origin = origins.get("later") as bigint;
  bench("an asynchronous echo, awaited", async () => {
    for (let i = 0; i < DELIVERIES; i++) await runtime.deliver(origin, event);
  });
});

describe("spawning", () => {
  bench("a daemon with a new identity, and stopping it", async () => {
    await (await runtime.spawn("echo")).stop();
  });
});

describe("idle daemons", () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const used = (): number => {
    collect();
    const { heapUsed, arrayBuffers } = memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const identity = Identity.generate();
  const before = used();
  const hosts = Array.from({ length: 10_000 }, () => DaemonHost.create(identity, { ...echo }));
  const perDaemon = Math.round((used() - before) / hosts.length);
  bench(`${hosts.length} of them, ${perDaemon} bytes each: asking all how they are`, () => {
    for (const host of hosts) host.health();
  });
});
