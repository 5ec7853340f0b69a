import { equalBytes } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import type { Session } from "../src/session/session.ts";
import type { Stream } from "../src/stream/stream.ts";
import type { StreamOptions } from "../src/stream/stream-options.ts";
import { createTestNetwork, SeededRandom, type TestNetwork, type TestNode } from "../src/testing/index.ts";

/** Sends `bytes` as events of `eventBytes` and returns what the other side gets, in order of arrival. */
function transfer(
  network: TestNetwork,
  from: TestNode,
  to: TestNode,
  bytes: Uint8Array,
  options: StreamOptions,
  eventBytes: number,
  limitMs: number,
): { received: Uint8Array; ended: boolean; tookMs: number } {
  const out = from.call((core) => core.openStream(to.nodeId, 7n, options));
  const back = to.call((core) => core.openStream(from.nodeId, 7n, options));
  const chunks: Uint8Array[] = [];
  let ended = false;
  let seen = 0;
  const collect = () => {
    for (; seen < to.events.length; seen++) {
      const event = to.events[seen];
      if (event?.type === "stream-failed") throw event.error;
      if (event?.type === "stream-ended") ended = true;
      if (event?.type !== "data" || event.stream !== back.stream) continue;
      chunks.push(...event.packet.events);
      to.call((core) => core.consumed(back.session, back.stream, event.packet.wireBytes));
    }
  };
  let offset = 0;
  const pump = (session: Session, stream: Stream) => {
    while (offset < bytes.length) {
      const event = bytes.subarray(offset, offset + eventBytes);
      if (from.call((core) => core.write(session, stream, [event])) === 0) return;
      offset += event.length;
    }
    from.call((core) => core.finish(session, stream));
  };
  const startMs = network.clock.now();
  pump(out.session, out.stream);
  let cursor = from.events.length;
  const finished = network.clock.advanceUntil(() => {
    for (; cursor < from.events.length; cursor++) {
      const event = from.events[cursor];
      if (event?.type === "stream-failed") throw event.error;
      if (event?.type === "stream-writable") pump(out.session, out.stream);
    }
    collect();
    return ended;
  }, limitMs);
  if (!finished) throw new Error(`not finished (${network.label})`);
  const received = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    received.set(chunk, at);
    at += chunk.length;
  }
  return { received, ended, tookMs: network.clock.now() - startMs };
}

const RELIABLE: StreamOptions = { reliability: "reliable", windowBytes: 1 << 20 };

describe("a reliable stream", () => {
  it("delivers a megabyte between neighbours in order", () => {
    const network = createTestNetwork(2, { conditions: { delayMs: 5 } });
    const [a, b] = network.nodes as [TestNode, TestNode];
    a.connect(b);
    const bytes = new SeededRandom(3).bytes(1 << 20);
    const { received } = transfer(network, a, b, bytes, RELIABLE, 1_000, 60_000);
    expect(equalBytes(received, bytes)).toBe(true);
  });

  it("carries 64 MiB through a relay with loss, delay, reordering and duplication, byte for byte", () => {
    const network = createTestNetwork(3, {
      seed: 64,
      conditions: { delayMs: 20, loss: 0.05, reordering: 0.05, duplication: 0.02, jitterMs: 2 },
      node: { datagramBytes: 8_192 },
    });
    const [a, b, relay] = network.nodes as [TestNode, TestNode, TestNode];
    a.connect(relay);
    b.connect(relay);
    a.connect(b, relay);
    const bytes = new SeededRandom(64).bytes(64 << 20);
    const { received, tookMs } = transfer(network, a, b, bytes, RELIABLE, 8_000, 3_600_000);
    expect(equalBytes(received, bytes)).toBe(true);
    expect(tookMs).toBeGreaterThan(0);
    expect(relay.eventsOf("data")).toEqual([]);
    expect(relay.core.counters.forwarded).toBeGreaterThan(8_000);
  }, 240_000);
});
