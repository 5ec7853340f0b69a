import { fileURLToPath } from "node:url";
import { median, percentile } from "../statistics.ts";
import {
  C_COMPILER,
  type Command,
  type EndProcess,
  NODE_COMMAND,
  withC,
  withEnds,
} from "../transport/end-process.ts";
import { hasUdx, MAX_UDX_BYTES } from "../transport/udx-socket.ts";
import {
  type Job,
  type Limits,
  type MeasurementKey,
  type MeasurementName,
  NO_SIDE,
  type Observation,
  type Run,
} from "./measurement.ts";

const C_SOURCE = fileURLToPath(new URL("../transport/end.c", import.meta.url));
const PAYLOADS: readonly number[] = [64, 1_200, 8_192];
const PING_BYTES = 64;
/** The smallest that a relay passes on: header, tag and routing header. */
const ROUTED_PING_BYTES = 102;
/** Round trips of one contestant before it is the next one's turn. */
const TURN = 200;

/** A way to move bare datagrams, under the name that results carry. */
interface Contestant {
  readonly rival: string;
  /** Mode of the end, in whatever language it is written. */
  readonly mode: string;
  readonly isC: boolean;
}

const isLinux = process.platform === "linux";
const OWN: readonly Contestant[] = ["portable", ...(isLinux ? ["batched", "offload"] : [])].map((mode) => ({
  rival: mode,
  mode,
  isC: false,
}));
const IN_C: readonly Contestant[] = [
  { rival: "c", mode: "batched", isC: true },
  { rival: "c-offload", mode: "offload", isC: true },
];
const UDX: Contestant = { rival: "udx", mode: "udx", isC: false };
/** A relay that looks at nothing, on `node:dgram`. */
const FORWARDER: Contestant = { rival: "dgram", mode: "portable", isC: false };
const CONTESTANTS: readonly Contestant[] = [
  ...OWN,
  ...(hasUdx() ? [UDX] : []),
  ...(C_COMPILER === undefined ? [] : IN_C),
];

/** What is left out on this machine. */
export const transportNotes: readonly string[] = [
  ...(C_COMPILER === undefined ? ["transport: no comparison with C, since there is no C compiler"] : []),
  ...(hasUdx() ? [] : ["transport: no comparison with udx-native, since it is not installed"]),
];

interface Sent {
  readonly datagrams: number;
  readonly cpuMicroseconds: number;
}

interface Received extends Sent {
  /** From the first datagram to the last. */
  readonly seconds: number;
}

/** Runs `use` with the command of each contestant. */
async function withCommands<T>(
  use: (commandOf: (contestant: Contestant) => Command) => Promise<T>,
): Promise<T> {
  if (C_COMPILER === undefined) return await use(() => NODE_COMMAND);
  return await withC(C_COMPILER, C_SOURCE, [], (inC) => use(({ isC }) => (isC ? inC : NODE_COMMAND)));
}

function observation(value: number, details: Partial<Observation> = {}): Observation {
  return {
    value,
    loss: null,
    cpuMicrosecondsPerEvent: NO_SIDE,
    peakRssBytes: NO_SIDE,
    eventsPerPacket: null,
    ...details,
  };
}

/** One way from process to process as fast as it goes: datagrams per second that arrive, and megabytes. */
function flood(payloadBytes: number): Job {
  const contestants = CONTESTANTS.filter((each) => each !== UDX || payloadBytes <= MAX_UDX_BYTES);
  const keys = contestants.flatMap(({ rival }): MeasurementKey[] => [
    { name: "transport-throughput", unit: "packets/s", payloadBytes, rival },
    { name: "transport-bytes", unit: "MB/s", payloadBytes, rival },
  ]);
  const one = async (command: Command, mode: string, limits: Limits): Promise<Run[]> =>
    await withEnds(async (start) => {
      const receiver = start(command, "receive", mode, String(payloadBytes));
      const { port } = await receiver.answer<{ port: number }>();
      const sender = start(command, "send", mode, String(payloadBytes), String(port));
      const run = (seconds: number): Promise<Sent> =>
        sender.ask(`run ${Math.round(seconds * 1e3)}`, seconds * 1e3);
      if (limits.warmUpSeconds > 0) await run(limits.warmUpSeconds);
      await receiver.ask("begin");
      const sent = await run(limits.seconds);
      const received = await receiver.ask<Received>("end");
      if (received.datagrams < 2)
        throw new Error(`${received.datagrams} of ${sent.datagrams} datagrams arrived`);
      const rate = received.datagrams / received.seconds;
      const details = {
        loss: Math.max(0, 1 - received.datagrams / sent.datagrams),
        cpuMicrosecondsPerEvent: {
          sender: sent.cpuMicroseconds / sent.datagrams,
          receiver: received.cpuMicroseconds / received.datagrams,
          relay: null,
        },
      };
      return [observation(rate, details), observation((rate * payloadBytes) / 1e6)];
    });
  return {
    id: `transport:${payloadBytes}`,
    keys,
    run: (limits) =>
      withCommands(async (commandOf) => {
        const runs: Run[] = [];
        for (const contestant of contestants) {
          try {
            runs.push(...(await one(commandOf(contestant), contestant.mode, limits)));
          } catch (error) {
            const failed = { error: `${contestant.rival}: ${(error as Error).message}` };
            runs.push(failed, failed);
          }
        }
        return runs;
      }),
  };
}

/**
 * Through a third process, as fast as it goes: the relay of an engine, which looks up where each datagram is bound for, or a C
 * program or a bare `node:dgram` socket that look at nothing. Both ends are the fastest there are, the same for all.
 */
function relay(payloadBytes: number): Job {
  const fastest = isLinux ? "offload" : "portable";
  const contestants = [...CONTESTANTS, FORWARDER];
  return {
    id: `transport:relay:${payloadBytes}`,
    keys: contestants.map(({ rival }) => ({
      name: "transport-relay",
      unit: "packets/s",
      payloadBytes,
      rival,
    })),
    run: (limits) =>
      withCommands(async (commandOf) => {
        const runs: Run[] = [];
        for (const contestant of contestants) {
          runs.push(
            await withEnds(async (start) => {
              const receiver = start(NODE_COMMAND, "receive", fastest, String(payloadBytes));
              const { port } = await receiver.answer<{ port: number }>();
              const between = start(
                commandOf(contestant),
                contestant === FORWARDER ? "forward" : "relay",
                contestant.mode,
                String(payloadBytes),
                String(port),
              );
              const { port: relayPort } = await between.answer<{ port: number }>();
              const sender = start(NODE_COMMAND, "send", fastest, String(payloadBytes), String(relayPort));
              const run = (seconds: number): Promise<Sent> =>
                sender.ask(`run ${Math.round(seconds * 1e3)}`, seconds * 1e3);
              if (limits.warmUpSeconds > 0) await run(limits.warmUpSeconds);
              await receiver.ask("begin");
              await between.ask("begin");
              await run(limits.seconds);
              const relayed = await between.ask<Sent>("end");
              const received = await receiver.ask<Received>("end");
              if (received.datagrams < 2) return { error: `${contestant.rival}: nothing arrived` };
              return observation(received.datagrams / received.seconds, {
                cpuMicrosecondsPerEvent: {
                  sender: null,
                  receiver: null,
                  relay: relayed.cpuMicroseconds / relayed.datagrams,
                },
              });
            }),
          );
        }
        return runs;
      }),
  };
}

/** One datagram there and back, one at a time, the contestants in turns. */
const roundTrip: Job = {
  id: "transport:round-trip",
  keys: CONTESTANTS.map(({ rival }) => ({
    name: "transport-round-trip-p50",
    unit: "µs",
    payloadBytes: PING_BYTES,
    rival,
  })),
  run: ({ seconds }) =>
    withCommands((commandOf) =>
      withEnds(async (start) => {
        const pingers: EndProcess[] = [];
        for (const contestant of CONTESTANTS) {
          const command = commandOf(contestant);
          const echo = start(command, "echo", contestant.mode, String(PING_BYTES));
          const { port } = await echo.answer<{ port: number }>();
          const pinger = start(command, "ping", contestant.mode, String(PING_BYTES), String(port));
          // The code is compiled before it counts.
          await pinger.ask(`run ${TURN}`);
          pingers.push(pinger);
        }
        const found = pingers.map(() => [] as number[]);
        const until = performance.now() + seconds * 1e3 * pingers.length;
        do {
          for (const [place, pinger] of pingers.entries()) {
            const { microseconds } = await pinger.ask<{ microseconds: number }>(`run ${TURN}`);
            found[place]?.push(microseconds);
          }
        } while (performance.now() < until);
        return found.map((medians) => observation(median(medians) ?? Number.NaN));
      }),
    ),
};

/**
 * One datagram there and back, directly and through a relay both ways, in turns between the same two processes: the
 * relay of an engine, which looks up where each datagram is bound for.
 */
const relayRoundTrip: Job = {
  id: "transport:relay-round-trip",
  keys: OWN.flatMap(({ rival }) =>
    ["direct", "relayed", "relay-adds"].flatMap((way): MeasurementKey[] => [
      { name: `transport-${way}-p50` as MeasurementName, unit: "µs", payloadBytes: ROUTED_PING_BYTES, rival },
      { name: `transport-${way}-p99` as MeasurementName, unit: "µs", payloadBytes: ROUTED_PING_BYTES, rival },
    ]),
  ),
  async run({ seconds }) {
    const runs: Run[] = [];
    for (const { mode } of OWN) {
      await withEnds(async (start) => {
        const end = async (role: string, ...ports: number[]) => {
          const started = start(NODE_COMMAND, role, mode, String(ROUTED_PING_BYTES), ...ports.map(String));
          return { ...(await started.answer<{ port: number }>()), ask: started.ask.bind(started) };
        };
        const [echo, ping] = [await end("routed-echo"), await end("routed-ping")];
        const relay = await end("relay", echo.port, ping.port);
        const take = async (port: number): Promise<number[]> =>
          (await ping.ask<{ microseconds: number[] }>(`run ${TURN} ${port}`)).microseconds;
        // The code is compiled before it counts.
        for (let turn = 0; turn < 5; turn++) for (const { port } of [echo, relay]) await take(port);
        const [direct, relayed]: [number[], number[]] = [[], []];
        const until = performance.now() + seconds * 1e3;
        do {
          direct.push(...(await take(echo.port)));
          relayed.push(...(await take(relay.port)));
        } while (performance.now() < until);
        const found = [direct, relayed].map((times) =>
          [50, 99].map((rank) => percentile(times, rank) as number),
        );
        const [[d50 = 0, d99 = 0] = [], [r50 = 0, r99 = 0] = []] = found;
        runs.push(...[d50, d99, r50, r99, r50 - d50, r99 - d99].map((value) => observation(value)));
      });
    }
    return runs;
  },
};

/** What an open socket costs while nothing happens. */
const idle: Job = {
  id: "transport:idle",
  keys: OWN.map(({ rival }) => ({ name: "transport-idle-cpu", unit: "%", payloadBytes: 0, rival })),
  run: ({ seconds }) =>
    withEnds(async (start) => {
      const ends = OWN.map(({ mode }) => start(NODE_COMMAND, "idle", mode, "0"));
      await Promise.all(ends.map((end) => end.answer()));
      // Until the process has started for good.
      await new Promise((resolve) => setTimeout(resolve, 500));
      await Promise.all(ends.map((end) => end.ask("usage")));
      await new Promise((resolve) => setTimeout(resolve, seconds * 1e3));
      const used = await Promise.all(ends.map((end) => end.ask<{ cpuMicroseconds: number }>("usage")));
      return used.map(({ cpuMicroseconds }) => observation(cpuMicroseconds / (seconds * 1e4)));
    }),
};

/** Bare datagrams from process to process: the sockets of netmesh beside a C program with the same system calls. */
export const transportJobs: readonly Job[] = [
  ...PAYLOADS.map(flood),
  relay(1_200),
  roundTrip,
  relayRoundTrip,
  idle,
];

/** The C program that does what a contestant does; undefined for others. */
export function inC({ name, rival }: MeasurementKey): string | undefined {
  if (name.startsWith("pipeline")) return rival === "c" ? undefined : "c";
  if (!name.startsWith("transport-") || !OWN.some((own) => own.rival === rival)) return undefined;
  return rival === "offload" ? "c-offload" : "c";
}
