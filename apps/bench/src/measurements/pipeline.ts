import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { aeadProviderNames } from "@netmesh/crypto";
import { C_COMPILER, type Command, withC, withEnds } from "../transport/end-process.ts";
import { type Contestant, RELIABLE, TLS } from "./contestants.ts";
import { observe, runFlow } from "./flow.ts";
import { type Job, type Limits, type MeasurementKey, NO_SIDE, type Run } from "./measurement.ts";

const PAYLOADS: readonly number[] = [64, 1_024, 8_000];
/** Events of one `write` and of one step of a reader, where they come in batches. */
const BATCH_EVENTS = 512;
/** Events above it fill so much of a packet that batches of them mean nothing. */
const LARGEST_IN_BATCHES = 1_024;
/** Time for what is under way to arrive. */
const SETTLE_MS = 100;

const C_SOURCE = fileURLToPath(new URL("../pipeline/pipeline.c", import.meta.url));
const hasNative = aeadProviderNames().includes("native");
const hasOpenssl = C_COMPILER !== undefined && takesOpenssl(C_COMPILER);

/** What is left out on this machine; undefined when nothing is. */
export const pipelineNote: string | undefined =
  [
    ...(hasOpenssl
      ? []
      : ["no comparison with C, since there is no C compiler or it has no <openssl/evp.h>"]),
    ...(hasNative ? [] : ["nothing native, since neither koffi nor sodium-native is installed"]),
  ]
    .map((note) => `pipeline: ${note}`)
    .join("\n") || undefined;

function takesOpenssl(compiler: string): boolean {
  const input = "#include <openssl/evp.h>\n";
  return spawnSync(compiler, ["-fsyntax-only", "-x", "c", "-"], { input }).status === 0;
}

function contestants(payloadBytes: number): readonly Contestant[] {
  const wasm: Contestant = { ...RELIABLE, label: "netmesh", aead: "wasm" };
  const native: Contestant = { ...RELIABLE, label: "netmesh-native", aead: "native" };
  const own = hasNative ? [wasm, native] : [wasm];
  const batched =
    payloadBytes > LARGEST_IN_BATCHES
      ? []
      : own.map((one) => ({ ...one, label: `${one.label}-batches`, batchEvents: BATCH_EVENTS }));
  return [...own, ...batched, TLS];
}

/** Events per second, and the same in megabytes. */
function keysOf(payloadBytes: number, rival: string): MeasurementKey[] {
  return [
    { name: "pipeline", unit: "events/s", payloadBytes, rival },
    { name: "pipeline-bytes", unit: "MB/s", payloadBytes, rival },
  ];
}

function bothUnits(payloadBytes: number, run: Run): readonly Run[] {
  if ("error" in run) return [run, run];
  return [run, { ...run, value: (run.value * payloadBytes) / 1e6 }];
}

function settle(): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, SETTLE_MS);
  });
}

async function inC(command: Command, payloadBytes: number, limits: Limits): Promise<Run> {
  return await withEnds(async (start) => {
    const bytes = String(payloadBytes);
    const receiver = start(command, "receive", bytes);
    const { port } = await receiver.answer<{ port: number }>();
    const sender = start(command, "send", bytes, String(port));
    const run = (seconds: number) =>
      sender.ask<{ events: number; packets: number; cpuMicroseconds: number }>(
        `run ${Math.round(seconds * 1e3)}`,
        seconds * 1e3,
      );
    if (limits.warmUpSeconds > 0) {
      await run(limits.warmUpSeconds);
      await settle();
    }
    await receiver.ask("begin");
    const sent = await run(limits.seconds);
    await settle();
    const arrived = await receiver.ask<{ events: number; milliseconds: number; cpuMicroseconds: number }>(
      "end",
    );
    if (arrived.events !== sent.events)
      throw new Error(`c: ${arrived.events} of ${sent.events} events arrived`);
    return {
      value: (arrived.events * 1e3) / arrived.milliseconds,
      loss: null,
      cpuMicrosecondsPerEvent: {
        sender: sent.cpuMicroseconds / sent.events,
        receiver: arrived.cpuMicroseconds / arrived.events,
        relay: null,
      },
      peakRssBytes: NO_SIDE,
      eventsPerPacket: sent.events / sent.packets,
    };
  });
}

/** One-way traffic of streams, next to a C program that does the same and to TLS, one after the other. */
function pipeline(payloadBytes: number): Job {
  const rivals = contestants(payloadBytes);
  return {
    id: `pipeline:${payloadBytes}`,
    keys: [...(hasOpenssl ? ["c"] : []), ...rivals.map(({ label }) => label)].flatMap((rival) =>
      keysOf(payloadBytes, rival),
    ),
    async run(limits) {
      const runs: Run[] = [];
      const add = async (rival: string, measure: () => Promise<Run>) => {
        const run = await measure().catch((error: Error) => ({ error: `${rival}: ${error.message}` }));
        runs.push(...bothUnits(payloadBytes, run));
      };
      if (hasOpenssl) {
        const compiler = C_COMPILER as string;
        await add("c", () =>
          withC(compiler, C_SOURCE, ["-lcrypto"], (command) => inC(command, payloadBytes, limits)),
        );
      }
      for (const rival of rivals) {
        await add(rival.label, async () =>
          observe(rival, await runFlow(rival, payloadBytes, "direct", limits)),
        );
      }
      return runs;
    },
  };
}

export const pipelineJobs: readonly Job[] = PAYLOADS.map(pipeline);
