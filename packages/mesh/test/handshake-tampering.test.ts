import { ROUTING_HEADER_SIZE } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { HandshakeMode } from "../src/handshake/initiation.ts";
import { createTestNetwork, type TestNode } from "../src/testing/index.ts";
import { numbered, RELIABLE, Receiving, range, Sending, until } from "./traffic.ts";

// Bytes of a handshake datagram: header, ephemeral key, payload with features, tag.
const PACKET_BYTES = 68 + 32 + 16 + 16;
const SIZES: Record<HandshakeMode, number> = {
  direct: PACKET_BYTES,
  routed: PACKET_BYTES + ROUTING_HEADER_SIZE,
};

/** Two nodes that have one attempt of one message each, which somebody on the way changes. */
function tampered(mode: HandshakeMode, message: 1 | 2, at: number, change: number) {
  const network = createTestNetwork(2, {
    seed: at + 1,
    node: { handshakeAttempts: 1, handshakeTimeoutMs: 250 },
  });
  const [a, b] = network.nodes as [TestNode, TestNode];
  const from = (message === 1 ? a : b).transport.localAddress;
  let isTampering = true;
  let seen = 0;
  network.net.tap = (bytes, source) => {
    // The first datagram of either node belongs to the handshake.
    if (!isTampering || !source.equals(from) || seen++ > 0) return true;
    expect(bytes.length).toBe(SIZES[mode]);
    bytes[at] = (bytes[at] as number) ^ change;
    return true;
  };
  const dial = (): void => {
    if (mode === "direct") b.call((core) => core.expect(a.nodeId));
    a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, mode));
  };
  dial();
  network.advance(300);
  const wasConnected = a.eventsOf("connected").length > 0;
  isTampering = false;
  return { network, a, b, dial, wasConnected };
}

/** What both nodes think of every session that they hold, confirmed or not. */
function securities(...nodes: TestNode[]): string[] {
  return nodes
    .flatMap(({ core }) => [...core.peers])
    .flatMap((peer) => [peer.session, peer.candidate])
    .filter((session) => session !== undefined)
    .map(({ security }) => security);
}

describe.each<[HandshakeMode, 1 | 2]>([
  ["routed", 1],
  ["routed", 2],
  ["direct", 1],
  ["direct", 2],
])("a byte of %s handshake message %i that is changed on the way", (mode, message) => {
  it.each([0x01, 0x80])(
    "by xor %i fails the attempt or changes nothing, and never weakens the keys",
    (change) => {
      let failed = 0;
      for (let at = 0; at < SIZES[mode]; at++) {
        const { network, a, b, dial, wasConnected } = tampered(mode, message, at, change);
        const label = `byte ${at}`;
        expect(new Set(securities(a, b)), label).not.toContain("interop");
        if (!wasConnected) {
          failed++;
          expect(a.eventsOf("connect-failed").length, label).toBe(1);
          dial();
          network.advance(250);
        }
        expect(a.eventsOf("connected").length, label).toBe(1);
        expect(securities(a, b), label).toEqual(expect.arrayContaining(["forward-secret", "forward-secret"]));
        expect(new Set(securities(a, b)).size, label).toBe(1);
        expect(a.core.peer(b.nodeId)?.session?.id, label).toBe(b.core.peer(a.nodeId)?.session?.id);
        const to = new Receiving(b, a, 7n, RELIABLE);
        new Sending(a, b, 7n, RELIABLE).write(...numbered(3)).finish();
        until(network, () => to.ends === 1);
        expect(to.numbers, label).toEqual(range(3));
      }
      // Every byte of the Noise message counts.
      expect(failed).toBeGreaterThanOrEqual(64);
    },
  );
});
