import { createSocket, type Socket } from "node:dgram";
import { setImmediate as turn } from "node:timers/promises";
import type { Contact } from "../rivals/rival.ts";
import { type ForgedKind, forgeDatagram } from "./forged-datagram.ts";

/** Sockets, each at an address of its own in 127.0.0.0/8 where the system has all of it. */
const SOURCES = 128;
const STOCK = 4_096;
/** Datagrams between two looks at the clock. */
const BURST = 32;

/** Sends forged datagrams of some kinds to a node, from many addresses, at that rate if it can; returns how many. */
export async function floodSocket(
  kinds: readonly ForgedKind[],
  { host, port, nodeId = "0" }: Contact,
  packetsPerSecond: number,
  milliseconds: number,
): Promise<number> {
  const victim = BigInt(`0x${nodeId}`);
  const stock = Array.from({ length: STOCK }, (_, i) =>
    forgeDatagram(kinds[i % kinds.length] as ForgedKind, victim),
  );
  const sockets = await Promise.all(Array.from({ length: SOURCES }, (_, i) => bind(i)));
  try {
    const start = performance.now();
    let sent = 0;
    for (let now = start; now - start < milliseconds; now = performance.now()) {
      const due = ((now - start) * packetsPerSecond) / 1_000;
      for (let i = 0; i < BURST && sent < due; i++) {
        const socket = sockets[sent % SOURCES] as Socket;
        socket.send(stock[sent % STOCK] as Uint8Array, port, host, ignoreOutcome);
        sent++;
      }
      // Node answers sends in a later turn, and holds their bytes until then.
      await turn();
    }
    return sent;
  } finally {
    for (const socket of sockets) socket.close();
  }
}

const ignoreOutcome = (): void => {};

async function bind(index: number): Promise<Socket> {
  const address = process.platform === "linux" ? `127.${1 + (index >> 6)}.${index & 63}.9` : "127.0.0.1";
  const socket = createSocket({
    type: "udp4",
    lookup: (literal, _, callback) => callback(null, literal, 4),
  });
  await new Promise<void>((resolve, reject) => {
    socket.once("error", reject);
    socket.bind({ port: 0, address, exclusive: true }, resolve);
  });
  return socket;
}
