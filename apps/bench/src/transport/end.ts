// One end of a UDP measurement with a socket of netmesh; `end.c` is the same in C, and tells the commands.
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import { Identity, platformRandom, staticKeyPairFromIdentity } from "@netmesh/crypto";
import { MeshNode, monotonicClock } from "@netmesh/mesh";
import { type TransportOptions, UdpTransport } from "@netmesh/transport-udp";
import { DatagramBatch, SocketAddress, writeRoutingHeader } from "@netmesh/wire";
import { percentile } from "../statistics.ts";
import { UdxTransport } from "./udx-socket.ts";

/** Datagrams of one `send`. */
const BATCH = 512;
/** What the sockets of netmesh ask the kernel for by default. */
const BUFFER_BYTES = 4 << 20;
const OPTIONS: Readonly<Record<string, TransportOptions>> = {
  portable: { mode: "portable" },
  batched: { mode: "batched", offload: false },
  offload: { mode: "batched" },
};

/** Where routed datagrams are bound for: nodes that only the relay has heard of. */
const DESTINATION = 0x0123_4567_89ab_cdefn;
const ORIGIN = 0x0123_4567_89ab_cdeen;

const [role, mode = "", size = "", port = "", backPort = ""] = process.argv.slice(2);
const bytes = Number(size);
const transport =
  mode === "udx" ? new UdxTransport(BUFFER_BYTES) : await UdpTransport.bind("127.0.0.1:0", OPTIONS[mode]);
const loopback = (at: string): SocketAddress => SocketAddress.parse({ host: "127.0.0.1", port: Number(at) });
const peer = loopback(port);

/** Writes the header by which a relay knows where the datagram is bound for. */
function bind(datagram: Uint8Array, at: number, to: bigint): void {
  writeRoutingHeader(datagram, at, 8, 0, 1, Number(to & 0xffff_ffffn), Number(to >> 32n));
}

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
    bind(memory, i * bytes, DESTINATION);
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

/** Returns what measures so many round trips of one datagram, one after the other, in microseconds. */
function pinger(): (datagram: Uint8Array, to: SocketAddress, count: number) => Promise<number[]> {
  const batch = new DatagramBatch();
  let answered: (() => void) | undefined;
  transport.listen({ receive: () => answered?.() });
  return (datagram, to, count) => {
    batch.clear();
    batch.push(datagram, to);
    const times: number[] = [];
    return new Promise((resolve) => {
      let start = 0;
      const next = (): void => {
        start = performance.now();
        transport.send(batch);
      };
      answered = () => {
        times.push((performance.now() - start) * 1e3);
        if (times.length < count) next();
        else resolve(times);
      };
      next();
    });
  };
}

function ping(): (line: string) => void {
  const measure = pinger();
  const datagram = new Uint8Array(bytes);
  const run = async (count: number): Promise<void> =>
    answer({ microseconds: percentile(await measure(datagram, peer, count), 50) });
  return (line) => void run(Number(line.slice(4)));
}

/** As `ping`, to the port in the line after the count, which may be a relay's; answers all times. */
function routedPing(): (line: string) => void {
  const measure = pinger();
  const datagram = new Uint8Array(bytes);
  const run = async (count: number, to: string): Promise<void> => {
    bind(datagram, 0, DESTINATION);
    answer({ microseconds: await measure(datagram, loopback(to), count) });
  };
  answer({ port: transport.localAddress.port });
  return (line) => {
    const [, count, to = ""] = line.split(" ");
    void run(Number(count), to);
  };
}

/** As `echo`; what it sends back finds its way also through a relay. */
function routedEcho(): (line: string) => void {
  transport.listen({
    receive(batch) {
      for (let i = 0; i < batch.count; i++) bind(batch.bytes[i] as Uint8Array, 0, ORIGIN);
      transport.send(batch);
    },
  });
  answer({ port: transport.localAddress.port });
  return () => undefined;
}

/** Passes every datagram on to the port and looks at none: the least that a relay on `node:dgram` can do. */
function forward(): (line: string) => void {
  transport.close();
  const socket = createSocket({ type: "udp4", recvBufferSize: BUFFER_BYTES, sendBufferSize: BUFFER_BYTES });
  let forwarded = 0;
  let cpu = process.cpuUsage();
  socket.on("message", (datagram) => {
    forwarded++;
    socket.send(datagram, peer.port, "127.0.0.1");
  });
  socket.bind(0, "127.0.0.1", () => answer({ port: socket.address().port }));
  return () => {
    answer({ datagrams: forwarded, cpuMicroseconds: cpuMicroseconds(cpu) });
    forwarded = 0;
    cpu = process.cpuUsage();
  };
}

/** A relay of the engine: everything for the one destination goes to the port, and what comes back to the other port. */
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
  if (backPort !== "") node.core.addRoute(ORIGIN, loopback(backPort));
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
  forward,
  echo,
  ping,
  "routed-ping": routedPing,
  "routed-echo": routedEcho,
  idle,
};
const handle = roles[role ?? ""]?.();
if (handle === undefined) throw new Error(`there is no ${role}`);
createInterface({ input: process.stdin })
  .on("line", handle)
  .on("close", () => process.exit());
