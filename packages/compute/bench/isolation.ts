/**
 * How much a daemon that burns a core delays an echo over UDP in the same process, in a thread of its own and without one:
 * `pnpm bench:isolation [seconds]`.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { isMainThread } from "node:worker_threads";
import { type Daemon, DaemonRuntime, genesisLink } from "../src/index.ts";
import { isolatedDaemon } from "../src/node/index.ts";

const seconds = Number(process.argv[2] ?? 5);
/** Longest that one event keeps the daemon busy, in milliseconds. */
const BUSY_MS = 20;

/** Keeps a core busy at every event. */
export function burning(): Daemon {
  return {
    name: "burning",
    process: () => {
      const end = performance.now() + BUSY_MS;
      while (performance.now() < end);
    },
  };
}

async function bound(): Promise<Socket> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  return socket;
}

/** Round trips one after the other, in microseconds, sorted. */
async function echoes(client: Socket, port: number, durationMs: number): Promise<Float64Array> {
  const payload = new Uint8Array(64);
  const times: number[] = [];
  const end = performance.now() + durationMs;
  while (performance.now() < end) {
    const sent = performance.now();
    const answered = once(client, "message");
    client.send(payload, port, "127.0.0.1");
    await answered;
    times.push((performance.now() - sent) * 1000);
  }
  return Float64Array.from(times).sort();
}

/** Delivers events one after the other until told to stop. */
async function burn(runtime: DaemonRuntime, kind: string, signal: AbortSignal): Promise<void> {
  const daemon = await runtime.spawn(kind);
  const event = { link: genesisLink(7n), payload: new Uint8Array(1), receivedAt: 0n };
  while (!signal.aborted) {
    await daemon.deliver(event);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await daemon.stop();
}

async function measure(): Promise<void> {
  const [client, server] = await Promise.all([bound(), bound()]);
  server.on("message", (message, { port }) => server.send(message, port, "127.0.0.1"));
  const { port } = server.address();
  const runtime = new DaemonRuntime();
  runtime.registerFactory(
    "isolated",
    isolatedDaemon({ module: new URL(import.meta.url), exportName: "burning" }),
  );
  runtime.registerFactory("in the same thread", burning);
  await runtime.start();
  await echoes(client, port, 1000);
  for (const kind of ["no daemon", "isolated", "in the same thread", "no daemon"]) {
    const stop = new AbortController();
    const burning = kind === "no daemon" ? undefined : burn(runtime, kind, stop.signal);
    await echoes(client, port, 500);
    const times = await echoes(client, port, seconds * 1000);
    stop.abort();
    await burning;
    const at = (share: number): string => `${(times[Math.floor(times.length * share)] ?? 0).toFixed(0)} µs`;
    console.log(
      `${kind.padEnd(20)} ${times.length} echoes, p50 ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}`,
    );
  }
  await runtime.shutdown();
  client.close();
  server.close();
}

// The threads import this module too, for the daemon alone.
if (isMainThread) await measure();
