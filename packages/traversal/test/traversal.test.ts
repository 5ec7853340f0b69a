import { encodeRendezvous, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { DEFAULT_TRAVERSAL_SETTINGS, TraversalError, type TraversalErrorKind } from "../src/index.ts";
import { at, blockOf, COORDINATOR, introducedNode, node, PEER, REFLEX } from "./traversing-node.ts";

describe("settings and errors", () => {
  it("are those of the specification unless told otherwise", () => {
    expect(DEFAULT_TRAVERSAL_SETTINGS).toMatchObject({
      reflexTimeoutMs: 3_000,
      classifyDeadlineMs: 5_000,
      punchFireLeadMs: 500,
      punchDeadlineMs: 5_000,
    });
  });

  it("name their kind, and a detail only where the specification has one", () => {
    const kinds: TraversalErrorKind[] = [
      "reflex-timeout",
      "peer-not-reachable",
      "transport",
      "rendezvous-no-relay",
      "rendezvous-rejected",
      "punch-failed",
      "port-map-unavailable",
      "unsupported",
    ];
    expect(kinds.map((kind) => new TraversalError(kind, "why").message)).toEqual([
      "traversal: reflex-timeout",
      "traversal: peer-not-reachable",
      "traversal: transport: why",
      "traversal: rendezvous-no-relay",
      "traversal: rendezvous-rejected: why",
      "traversal: punch-failed",
      "traversal: port-map-unavailable",
      "traversal: unsupported",
    ]);
  });
});

describe("asking a peer where it sees this node", () => {
  it("has no answer after three seconds of silence, and none of a node that is no peer", async () => {
    const { timers, host, traversal, kindOf } = node();
    expect(await kindOf(traversal.probeReflex(9n))).toBe("peer-not-reachable");
    expect(host.sent).toEqual([]);
    host.add(PEER, { isDirect: true });
    const startMs = timers.now();
    const kind = kindOf(traversal.probeReflex(PEER)).then((result) => [result, timers.now() - startMs]);
    await timers.advance(4_000);
    expect(await kind).toEqual(["reflex-timeout", 3_000]);
    // The question and two repetitions.
    expect(host.sent).toHaveLength(3);
    expect(timers.pending).toBe(0);
  });

  it("twice at once answers the second question, and ends the first", async () => {
    const { timers, host, traversal, answer, kindOf } = node();
    host.add(PEER, { isDirect: true });
    const first = kindOf(traversal.probeReflex(PEER));
    const second = traversal.probeReflex(PEER);
    expect(await first).toBe("reflex-timeout");
    await timers.advance(1_000);
    answer(PEER, REFLEX);
    expect((await second).key).toBe(REFLEX.key);
    answer(PEER, REFLEX);
    expect(traversal.stats.ignored).toBe(1);
    expect(timers.pending).toBe(0);
  });

  it("counts what is no message and answers the others", () => {
    const { host, traversal } = node();
    host.add(PEER, { isDirect: true });
    for (const length of [1, 18, 20]) traversal.receive(PEER, Subprotocol.REFLEX, new Uint8Array(length));
    traversal.receive(PEER, Subprotocol.REFLEX, new Uint8Array(19).fill(7));
    traversal.receive(PEER, Subprotocol.REFLEX, new Uint8Array(0));
    expect([traversal.stats.ignored, host.sent.length]).toEqual([4, 1]);
  });

  it("is answered ten times a second, and never for a peer behind a relay", async () => {
    const { timers, host, traversal } = node();
    host.add(PEER, { isDirect: true });
    host.add(4n);
    for (let i = 0; i < 50; i++) traversal.receive(PEER, Subprotocol.REFLEX, new Uint8Array(0));
    traversal.receive(4n, Subprotocol.REFLEX, new Uint8Array(0));
    expect([host.sent.length, traversal.stats.ignored]).toEqual([10, 41]);
    await timers.advance(1_000);
    traversal.receive(PEER, Subprotocol.REFLEX, new Uint8Array(0));
    expect(host.sent).toHaveLength(11);
  });
});

describe("a sweep", () => {
  it.each(["before", "after"])(
    "neither ends a probe of the application nor is ended by one that begins %s it",
    async (order) => {
      const { timers, host, traversal, answer } = node();
      for (const [i, id] of [PEER, COORDINATOR].entries()) {
        host.add(id, { isDirect: true, address: at(`198.51.100.2${i}:1`) });
      }
      let sweep = order === "after" ? traversal.reclassify() : undefined;
      const probe = traversal.probeReflex(PEER);
      sweep ??= traversal.reclassify();
      for (const id of [PEER, COORDINATOR]) answer(id, at("44.1.2.3:9"));
      await timers.advance(10);
      await sweep;
      expect((await probe).key).toBe("44.1.2.3:9");
      expect(traversal.natClass).toBe("cone");
      expect(timers.pending).toBe(0);
    },
  );

  it.each([0, 1, 2])("is not led astray by one peer of three that lies (%i)", async (liar) => {
    const { timers, host, traversal, answer } = node();
    const ids = [4n, 5n, 6n];
    for (const [i, id] of ids.entries()) host.add(id, { isDirect: true, address: at(`198.51.100.2${i}:1`) });
    const sweep = traversal.reclassify();
    for (const [i, id] of ids.entries()) answer(id, at(i === liar ? "44.9.9.9:53" : "44.1.2.3:9"));
    await timers.advance(10);
    await sweep;
    expect([traversal.natClass, traversal.reflex?.key]).toEqual(["cone", "44.1.2.3:9"]);
  });

  it("is over when its peers say nothing, although one was asked by the application, too", async () => {
    const { timers, host, traversal, kindOf } = node();
    for (const [i, id] of [PEER, COORDINATOR].entries()) {
      host.add(id, { isDirect: true, address: at(`198.51.100.2${i}:1`) });
    }
    const sweep = traversal.reclassify();
    const kind = kindOf(traversal.probeReflex(PEER));
    await timers.advance(3_000);
    expect([await kind, await sweep, traversal.natClass]).toEqual(["reflex-timeout", undefined, "unknown"]);
    expect(timers.pending).toBe(0);
  });

  it("changes nothing with one peer, and nothing when the operator speaks meanwhile", async () => {
    const { timers, host, traversal, answer } = node();
    host.add(PEER, { isDirect: true, address: at("198.51.100.20:1") });
    await traversal.reclassify();
    expect([traversal.natClass, traversal.reflex, host.sent]).toEqual(["unknown", undefined, []]);
    host.add(COORDINATOR, { isDirect: true, address: at("198.51.100.21:1") });
    const sweep = traversal.reclassify();
    traversal.setReflexOverride(at("203.0.113.9:1"));
    for (const id of [PEER, COORDINATOR]) answer(id, REFLEX);
    await timers.advance(100);
    await sweep;
    expect([traversal.natClass, traversal.reflex?.key]).toEqual(["open", "203.0.113.9:1"]);
    traversal.clearReflexOverride();
    const again = traversal.reclassify();
    for (const id of [PEER, COORDINATOR]) answer(id, at("44.1.2.3:9"));
    await timers.advance(100);
    await again;
    expect([traversal.natClass, traversal.reflex?.key]).toEqual(["cone", "44.1.2.3:9"]);
  });

  it("begins by itself within a second of the second peer, and comes again every minute", async () => {
    const { timers, host, traversal, answer } = node();
    const answerBoth = () => {
      for (const id of [PEER, COORDINATOR]) answer(id, REFLEX);
    };
    traversal.start();
    await timers.advance(5_000);
    expect(host.sent).toEqual([]);
    for (const [i, id] of [PEER, COORDINATOR].entries()) {
      host.add(id, { isDirect: true, address: at(`198.51.100.2${i}:1`) });
    }
    await timers.advance(1_000);
    expect(host.sent).toHaveLength(2);
    answerBoth();
    await timers.advance(60_000);
    expect(host.sent).toHaveLength(4);
    answerBoth();
    traversal.close();
    await timers.advance(120_000);
    expect(host.sent).toHaveLength(4);
  });
});

describe("a node that is introduced", () => {
  it("sends at the moment of the punch, 100 and 250 ms later, then every half second until the deadline", async () => {
    const { timers, host, introduce } = introducedNode();
    introduce(BigInt(host.unixNow()) + 500n);
    await timers.advance(10_000);
    const times = host.keepAlives.map(([, atMs]) => atMs);
    expect(times.slice(0, 5)).toEqual([500, 600, 750, 1_250, 1_750]);
    expect(times.at(-1)).toBeLessThanOrEqual(5_000);
    expect(new Set(host.keepAlives.map(([to]) => to))).toEqual(new Set([REFLEX.key]));
    expect(timers.pending).toBe(0);
  });

  it.each([
    ["past", -60_000n],
    ["far future", 86_400_000n],
  ])(
    "for a moment in the %s sends when half a second is over, less the way of the introduction",
    async (_, leadMs) => {
      const { timers, host, introduce } = introducedNode();
      introduce(BigInt(host.unixNow()) + leadMs);
      await timers.advance(1_000);
      expect(host.keepAlives[0]).toEqual([REFLEX.key, 480]);
    },
  );

  it("acks only what it has heard, and asks over the address from which it came", async () => {
    const { timers, host, traversal, introduce } = introducedNode();
    introduce(BigInt(host.unixNow()) + 500n);
    await timers.advance(600);
    expect([host.sent, host.asked]).toEqual([[], []]);
    const source = at("198.51.100.7:9100");
    traversal.keepAlive(PEER, 0, source);
    traversal.keepAlive(99n, 0, source);
    traversal.keepAlive(PEER, 77, source);
    expect(host.sent).toMatchObject([[COORDINATOR, { type: "punch-ack", from: 1n, to: PEER }]]);
    expect(host.asked[0]?.[0]).toBe(source.key);
    expect(traversal.stats.puncher.stray).toBe(2);
  });

  it("again and again by one coordinator takes part eight times in ten seconds", async () => {
    const { timers, host, traversal, introduce } = introducedNode();
    for (let i = 0; i < 40; i++) {
      introduce(BigInt(host.unixNow()) + 10n);
      // The session moves, which ends the attempt.
      traversal.pathChanged(PEER, REFLEX, true);
    }
    await timers.advance(5_000);
    expect(traversal.stats.puncher.introductionsRefused).toBe(32);
    expect(host.keepAlives.length).toBeLessThanOrEqual(8);
  });
});

describe("looking for a path to a node", () => {
  it("is refused at once without its address or anybody to ask, and counted with the reason", async () => {
    const { traversal, kindOf } = node();
    const target = { nodeId: PEER, publicKey: new Uint8Array(32) };
    expect(await kindOf(traversal.connectDirect(target, [42n]))).toBe("peer-not-reachable");
    const { punchesAttempted, punchesSucceeded, relayFallbacks, attempts } = traversal.stats;
    expect([punchesAttempted, punchesSucceeded, relayFallbacks]).toEqual([0, 0, 0]);
    expect(attempts).toEqual([
      { own: "unknown", remote: "unknown", path: "none", reason: "peer-not-reachable", count: 1 },
    ]);
  });

  it("is over as soon as the session has moved to the announced address", async () => {
    const { timers, host, traversal } = node();
    traversal.forceClass("open");
    host.add(PEER);
    host.reflexes.set(PEER, REFLEX);
    const call = traversal.connectDirect({ nodeId: PEER, publicKey: new Uint8Array(32) });
    await timers.advance(10);
    expect(host.asked.map(([address]) => address)).toEqual([REFLEX.key]);
    host.add(PEER, { isDirect: true, address: REFLEX });
    traversal.pathChanged(PEER, REFLEX, true);
    expect(await call).toEqual({ path: "direct", reason: "direct-answered" });
    expect(timers.now()).toBe(10);
  });

  it("ends as transport when no session comes about, whatever the classes", async () => {
    const { host, traversal, kindOf } = node();
    host.add(COORDINATOR, { isDirect: true });
    const target = { nodeId: PEER, publicKey: new Uint8Array(32) };
    const classes = ["open", "cone", "symmetric", "unknown"] as const;
    for (const own of classes) {
      for (const remote of classes) {
        traversal.forceClass(own);
        host.classes.set(PEER, remote);
        host.reflexes.set(PEER, REFLEX);
        expect(await kindOf(traversal.connectDirect(target, [COORDINATOR]))).toBe("transport");
      }
    }
    const { attempts, punchesAttempted, relayFallbacks } = traversal.stats;
    expect(attempts).toHaveLength(16);
    expect([punchesAttempted, relayFallbacks]).toEqual([0, 0]);
  });
});

describe("a coordinator that is flooded", () => {
  it("sends no more bytes to an address that nobody has proven than it was sent", async () => {
    const { timers, host, traversal } = node();
    host.add(PEER, { isDirect: true, address: REFLEX });
    host.add(COORDINATOR, { isDirect: true, address: at("198.51.100.8:1") });
    host.reflexes.set(PEER, REFLEX);
    host.reflexes.set(COORDINATOR, at("198.51.100.8:1"));
    for (let i = 0; i < 1_000; i++) {
      const reflex = blockOf(at("198.51.100.8:1"));
      const bytes = encodeRendezvous({ type: "punch-request", target: PEER, reflex });
      traversal.receive(COORDINATOR, Subprotocol.RENDEZVOUS, bytes);
    }
    await timers.advance(1_000);
    const { coordinator } = traversal.stats;
    expect([coordinator.introduced, coordinator.rejected]).toEqual([6, 994]);
    // Two messages of 36 bytes for each introduction, in sessions; nothing at all outside of them.
    expect(host.sent).toHaveLength(12);
    expect(host.sent.every(([to]) => to === PEER || to === COORDINATOR)).toBe(true);
    expect(host.keepAlives).toEqual([]);
  });
});
