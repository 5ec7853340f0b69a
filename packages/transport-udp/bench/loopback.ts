// Datagrams per second over the loopback, sender and receiver in one process:
//   node --conditions=@netmesh/source --import ./tooling/vitest/typescript.js packages/transport-udp/bench/loopback.ts
import { DatagramBatch } from "@netmesh/wire";
import { UdpTransport } from "../src/index.ts";

const DATAGRAM_BYTES = 1200;
const BATCH = 64;
const DURATION_MS = 3000;

const [sender, receiver] = [await UdpTransport.bind("127.0.0.1:0"), await UdpTransport.bind("127.0.0.1:0")];
receiver.listen({ receive: () => undefined });
sender.listen({ receive: () => undefined });

const batch = new DatagramBatch();
for (let i = 0; i < BATCH; i++) batch.push(new Uint8Array(DATAGRAM_BYTES).fill(i), receiver.localAddress);

const cpuBefore = process.cpuUsage();
const startedAt = performance.now();
while (performance.now() - startedAt < DURATION_MS) {
  sender.send(batch);
  await new Promise(setImmediate);
}
const seconds = (performance.now() - startedAt) / 1000;
const { user, system } = process.cpuUsage(cpuBefore);
const { sent } = sender.stats();
const { received } = receiver.stats();

console.log(`sent      ${Math.round(sent / seconds)} datagrams/s of ${DATAGRAM_BYTES} bytes`);
console.log(
  `received  ${Math.round(received / seconds)} datagrams/s (${((100 * received) / sent).toFixed(1)} %)`,
);
console.log(`CPU       ${Math.round((1000 * (user + system)) / received)} ns per datagram sent and received`);

await Promise.all([sender.close(), receiver.close()]);
