import { DatagramBatch, high32, low32, writeRoutingHeader } from "@netmesh/wire";
import { bench, describe } from "vitest";
import { createTestNetwork, type TestNode } from "../src/testing/index.ts";

const DATAGRAM_BYTES = 1_200;
const BATCH = 64;

describe("a relay, without its socket", () => {
  const network = createTestNetwork(3);
  const [relay, from, to] = network.nodes as [TestNode, TestNode, TestNode];
  from.connect(relay);
  to.connect(relay);
  network.advance(100);
  const batch = new DatagramBatch();
  for (let i = 0; i < BATCH; i++) {
    const datagram = new Uint8Array(DATAGRAM_BYTES);
    writeRoutingHeader(datagram, 0, 8, 0, low32(from.nodeId), low32(to.nodeId), high32(to.nodeId));
    datagram.set([0x45, 0x4e, 1], 18);
    batch.push(datagram, from.transport.localAddress);
  }
  let sent = 0;
  const sink = {
    send(out: DatagramBatch) {
      sent += out.count;
      return out.count;
    },
    event() {},
  };

  bench("forwards 64 datagrams of 1200 bytes", () => {
    const before = sent;
    for (let i = 0; i < BATCH; i++) (batch.bytes[i] as Uint8Array)[2] = 8;
    relay.core.receive(batch);
    relay.core.drain(sink);
    if (sent - before !== BATCH) throw new Error("not everything was forwarded");
  });
});
