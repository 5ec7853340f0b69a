import { randomBytes } from "node:crypto";
import { createSocket } from "node:dgram";
import { expect, it } from "vitest";
import { openMesh } from "./open-mesh.ts";

const GARBAGE = 20_000;

it("a flood of garbage on the socket is counted, and a transfer goes on beside it", async () => {
  const a = await openMesh();
  const b = await openMesh();
  await a.connect(b.contact);
  const port = Number(/\d+$/.exec(b.localAddress)?.[0]);
  const attacker = createSocket("udp4");
  const noise = Array.from({ length: 64 }, (_, i) => {
    const datagram = randomBytes((i * 37) % 700);
    // Every kind of datagram that a node looks at.
    const prefixes = ["454e0100", "454e0110", "454e0120", "525408000000", "5048", ""];
    datagram.set(Buffer.from(prefixes[i % prefixes.length] ?? "", "hex").subarray(0, datagram.length));
    return datagram;
  });
  const flooding = (async () => {
    for (let i = 0; i < GARBAGE; i++) {
      attacker.send(noise[i % noise.length] as Buffer, port, "127.0.0.1");
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  const settings = { streamId: 1n, reliability: "reliable" as const };
  const out = a.openStream(b.nodeId, settings);
  const back = b.openStream(a.nodeId, settings);
  const sent = randomBytes(2_000_000);
  const writing = out.writeBytes(sent).then(() => out.end());
  const received: Uint8Array[] = [];
  for await (const { data } of back) received.push(data);
  await Promise.all([writing, flooding]);
  attacker.close();
  expect(Buffer.concat(received).equals(sent)).toBe(true);
  const { counters, peers } = b.stats();
  expect(peers).toBe(1);
  expect(counters.unknownPrefix).toBeGreaterThan(100);
  expect(counters.routedStranger).toBeGreaterThan(100);
});
