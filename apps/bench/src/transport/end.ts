// One end of a UDP measurement with a socket of netmesh; `end.c` is the same in C, and tells the commands.
import { createInterface } from "node:readline";
import { Identity, platformRandom, staticKeyPairFromIdentity } from "@netmesh/crypto";
import { MeshNode, monotonicClock } from "@netmesh/mesh";
import { type TransportOptions, UdpTransport } from "@netmesh/transport-udp";
import { DatagramBatch, SocketAddress, writeRoutingHeader } from "@netmesh/wire";
import { percentile } from "../statistics.ts";

/** Datagrams of one `send`. */
const BATCH = 512;
const OPTIONS: Readonly<Record<string, TransportOptions>> = {
  portable: { mode: "portable" },
  batched: { mode: "batched", offload: false },
  offload: { mode: "batched" },
};

/** Where routed datagrams are bound for: a node that only the relay has heard of. */
const DESTINATION = 0x0123_4567_89ab_cdefn;

const [role, mode = "", size = "", port = ""] = process.argv.slice(2);
const bytes = Number(size);
const transport = await UdpTransport.bind("127.0.0.1:0", OPTIONS[mode]);
const peer = SocketAddress.parse({ host: "127.0.0.1", port: Number(port) });

const answer = (value: object): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};
const cpuMicroseconds = (since: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(since);
  return user + system;
};

function receive(): (line: string) => void {
  let datagrams = 0;
  let first = 0;
  let last = 0;
  let byte = 0;
  let cpu = process.cpuUsage();
  transport.listen({
    receive(batch) {
      last = performance.now();
      if (datagrams === 0) first = last;
      datagrams += batch.count;
      // Every datagram is looked at, as a receiver does.
      for (let i = 0; i < batch.count; i++) byte ^= batch.bytes[i]?.[0] ?? 0;
    },
  });
  answer({ port: transport.localAddress.port });
  return (line) => {
    if (line === "begin") {
      datagrams = 0;
      cpu = process.cpuUsage();
      answer({});
    } else {
      answer({ datagrams, seconds: (last - first) / 1e3, cpuMicroseconds: cpuMicroseconds(cpu), byte });
    }
  };
}

function send(): (line: string) => void {
  const memory = new Uint8Array(BATCH * bytes);
  const batch = new DatagramBatch();
  for (let i = 0; i < BATCH; i++) {
    writeRoutingHeader(memory, i * bytes, 8, 0, 1, 0x89ab_cdef, 0x0123_4567);
    batch.push(memory.subarray(i * bytes, (i + 1) * bytes), peer);
  }
  let room: (() => void) | undefined;
  transport.listen({ receive: () => undefined, writable: () => room?.() });
  const flood = async (milliseconds: number): Promise<void> => {
    const cpu = process.cpuUsage();
    const before = transport.stats().sent;
    const until = performance.now() + milliseconds;
    while (performance.now() < until) {
      const accepted = transport.send(batch);
      await new Promise<void>((resolve) => {
        if (accepted === batch.count) setImmediate(resolve);
        else room = resolve;
      });
    }
    answer({ datagrams: transport.stats().sent - before, cpuMicroseconds: cpuMicroseconds(cpu) });
  };
  return (line) => void flood(Number(line.slice(4)));
}

function echo(): (line: string) => void {
  transport.listen({ receive: (batch) => void transport.send(batch) });
  answer({ port: transport.localAddress.port });
  return () => undefined;
}

function ping(): (line: string) => void {
  const batch = new DatagramBatch();
  batch.push(new Uint8Array(bytes), peer);
  let answered: (() => void) | undefined;
  transport.listen({ receive: () => answered?.() });
  const measure = async (count: number): Promise<void> => {
    const times: number[] = [];
    await new Promise<void>((resolve) => {
      let start = 0;
      const next = (): void => {
        start = performance.now();
        transport.send(batch);
      };
      answered = () => {
        times.push((performance.now() - start) * 1e3);
        if (times.length < count) next();
        else resolve();
      };
      next();
    });
    answer({ microseconds: percentile(times, 50) });
  };
  return (line) => void measure(Number(line.slice(4)));
}

/** A relay of the engine: everything for the one destination goes to the port. */
function relay(): (line: string) => void {
  const identity = Identity.generate();
  const node = new MeshNode({
    nodeId: identity.nodeId,
    psk: new Uint8Array(32),
    staticKeyPair: staticKeyPairFromIdentity(identity),
    clock: monotonicClock,
    random: platformRandom,
    transport,
    relay: "anyone",
    onEvent: () => undefined,
    onError: (error) => {
      throw error;
    },
  });
  node.core.addRoute(DESTINATION, peer);
  answer({ port: transport.localAddress.port });
  let forwarded = 0;
  let cpu = process.cpuUsage();
  return () => {
    answer({ datagrams: node.counters.forwarded - forwarded, cpuMicroseconds: cpuMicroseconds(cpu) });
    forwarded = node.counters.forwarded;
    cpu = process.cpuUsage();
  };
}

/** Nothing but an open socket; answers the CPU time used since the line before. */
function idle(): (line: string) => void {
  transport.listen({ receive: () => undefined });
  answer({ port: transport.localAddress.port });
  let cpu = process.cpuUsage();
  return () => {
    answer({ cpuMicroseconds: cpuMicroseconds(cpu) });
    cpu = process.cpuUsage();
  };
}

const roles: Readonly<Record<string, () => (line: string) => void>> = {
  receive,
  send,
  relay,
  echo,
  ping,
  idle,
};
const handle = roles[role ?? ""]?.();
if (handle === undefined) throw new Error(`there is no ${role}`);
createInterface({ input: process.stdin })
  .on("line", handle)
  .on("close", () => process.exit());
