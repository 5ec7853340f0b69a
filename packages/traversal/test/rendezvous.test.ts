import { decodeRendezvous, encodeRendezvous, type RendezvousMessage, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { punchIdOf } from "../src/hole-puncher.ts";
import { PunchRejection } from "../src/index.ts";
import { at, blockOf, COORDINATOR, introducedNode, node, PEER, REFLEX } from "./traversing-node.ts";

/** A peer of this node that coordinates nothing. */
const STRANGER = 9n;
const ELSEWHERE = at("198.51.100.66:6666");
const OWN_REFLEX = at("44.1.2.3:9");
const TARGET = { nodeId: PEER, publicKey: new Uint8Array(32) };

/** A node that looks for a path to {@link PEER} with the help of {@link COORDINATOR}. */
function punching() {
  const lone = introducedNode();
  const { host, traversal } = lone;
  host.add(STRANGER, { isDirect: true });
  host.classes.set(PEER, "cone");
  traversal.setReflexOverride(OWN_REFLEX);
  traversal.forceClass("cone");
  const outcome = traversal.connectDirect(TARGET, [COORDINATOR]);
  const requests = () => host.sent.filter(([, message]) => message?.type === "punch-request");
  return { ...lone, outcome, requests };
}

const introduction = (reflex = REFLEX, fireAtMs = 0n) =>
  ({ type: "punch-introduce", peer: PEER, reflex: blockOf(reflex), fireAtMs }) as const;

describe("a node that asks for an introduction", () => {
  it("says whom it wants and where it is seen itself, and says so again after a second", async () => {
    const { timers, requests } = punching();
    await timers.advance(500);
    const request = { type: "punch-request", target: PEER, reflex: blockOf(OWN_REFLEX) };
    expect(requests()).toEqual([[COORDINATOR, request]]);
    await timers.advance(1_000);
    expect(requests()).toEqual([
      [COORDINATOR, request],
      [COORDINATOR, request],
    ]);
  });

  it("asks twice more when it was introduced and hears nothing: the peer's introduction may be lost", async () => {
    const { timers, introduce, requests } = punching();
    await timers.advance(100);
    introduce(0n);
    await timers.advance(4_800);
    expect(requests()).toHaveLength(3);
  });

  it("asks no more when it has heard the peer, or the peer has heard it", async () => {
    const heard = punching();
    const acked = punching();
    for (const { timers, introduce } of [heard, acked]) {
      await timers.advance(100);
      introduce(0n);
    }
    heard.traversal.keepAlive(PEER, 0, REFLEX);
    acked.tell(COORDINATOR, { type: "punch-ack", from: PEER, to: acked.host.nodeId, punchId: 0 });
    for (const { timers, requests } of [heard, acked]) {
      await timers.advance(4_800);
      expect(requests()).toHaveLength(1);
    }
  });

  it("takes none of another peer, and then the coordinator's", async () => {
    const { timers, host, traversal, tell } = punching();
    await timers.advance(100);
    tell(STRANGER, introduction(ELSEWHERE));
    await timers.advance(800);
    expect([host.keepAlives, traversal.stats.puncher.stray]).toEqual([[], 1]);
    tell(COORDINATOR, introduction());
    await timers.advance(600);
    expect(host.keepAlives.length).toBeGreaterThan(0);
    expect(host.keepAlives.every(([to]) => to === REFLEX.key)).toBe(true);
  });

  it("takes no ack of another peer, and then the coordinator's", async () => {
    const { timers, host, traversal, tell } = punching();
    await timers.advance(100);
    tell(COORDINATOR, introduction());
    const ack = { type: "punch-ack", from: PEER, to: host.nodeId, punchId: 0 } as const;
    tell(STRANGER, ack);
    await timers.advance(1_000);
    expect([host.asked, traversal.stats.puncher.stray]).toEqual([[], 1]);
    tell(COORDINATOR, ack);
    expect(host.asked.map(([address]) => address)).toEqual([REFLEX.key]);
  });

  it("takes no refusal of another peer", async () => {
    const { timers, traversal, tell, introduce } = punching();
    await timers.advance(100);
    tell(STRANGER, { type: "punch-reject", target: PEER, reason: PunchRejection.NO_SESSION });
    expect(traversal.stats.puncher.stray).toBe(1);
    introduce(0n);
    await timers.advance(1_000);
    expect(traversal.stats.puncher.stray).toBe(1);
  });

  it("joins its own calls: they end alike, and one request goes out", async () => {
    const { timers, traversal, outcome, requests } = punching();
    const second = traversal.connectDirect(TARGET, [STRANGER]);
    await timers.advance(900);
    expect(requests()).toHaveLength(1);
    await timers.advance(5_000);
    expect(await second).toEqual(await outcome);
    expect(traversal.stats.relayFallbacks).toBe(1);
  });
});

describe("a punch", () => {
  const awaited = ({ host }: ReturnType<typeof introducedNode>) => [...host.awaited];

  it("that is over awaits nothing, and does not end the next one", async () => {
    const lone = introducedNode();
    const { timers, host, traversal, introduce } = lone;
    introduce(0n);
    await timers.advance(4_999);
    expect(awaited(lone)).toEqual([PEER]);
    await timers.advance(1);
    expect([awaited(lone), timers.pending]).toEqual([[], 0]);
    traversal.keepAlive(PEER, 0, REFLEX);
    expect([host.sent, traversal.stats.puncher.stray]).toEqual([[], 1]);
    introduce(0n);
    await timers.advance(4_999);
    expect(awaited(lone)).toEqual([PEER]);
    traversal.keepAlive(PEER, 0, REFLEX);
    expect(host.sent).toMatchObject([[COORDINATOR, { type: "punch-ack", to: PEER }]]);
  });

  it("hears the peer by the introduction of another coordinator, too, which the peer has asked, but not at another address", async () => {
    const { timers, host, traversal, tell, introduce } = introducedNode();
    host.add(STRANGER, { isDirect: true });
    introduce(BigInt(host.unixNow()) + 100n);
    tell(STRANGER, introduction(ELSEWHERE, 5n));
    tell(STRANGER, introduction(REFLEX, 7n));
    await timers.advance(150);
    traversal.keepAlive(PEER, punchIdOf(5n, PEER, host.nodeId), REFLEX);
    expect(host.asked).toEqual([]);
    traversal.keepAlive(PEER, punchIdOf(7n, PEER, host.nodeId), REFLEX);
    expect(host.asked.map(([address]) => address)).toEqual([REFLEX.key]);
  });

  it("is not displaced by the same introduction again, nor by one of another coordinator", async () => {
    const { timers, host, traversal, tell, introduce } = introducedNode();
    host.add(STRANGER, { isDirect: true });
    introduce(BigInt(host.unixNow()) + 500n);
    await timers.advance(300);
    introduce(BigInt(host.unixNow()) + 500n);
    tell(STRANGER, introduction(ELSEWHERE, BigInt(host.unixNow())));
    await timers.advance(600);
    expect(host.keepAlives).toEqual([500, 600, 750].map((atMs) => [REFLEX.key, atMs]));
    expect(traversal.stats.puncher.stray).toBe(1);
    traversal.keepAlive(PEER, 0, REFLEX);
    expect(host.sent).toMatchObject([[COORDINATOR, { type: "punch-ack", to: PEER }]]);
  });

  it("is acked three times at most, however often the peer is heard", async () => {
    const { timers, host, traversal, introduce } = introducedNode();
    introduce(0n);
    for (let i = 0; i < 100; i++) {
      await timers.advance(45);
      traversal.keepAlive(PEER, 0, REFLEX);
    }
    const acks = host.sent.filter(([, message]) => message?.type === "punch-ack");
    expect(acks).toHaveLength(3);
  });
});

describe("a coordinator", () => {
  const seenAt = at("198.51.100.8:4000");

  /** A node that has sessions with {@link PEER} and {@link STRANGER}. */
  function coordinator() {
    const lone = node();
    lone.host.add(PEER, { isDirect: true, address: REFLEX });
    lone.host.add(STRANGER, { isDirect: true, address: seenAt });
    lone.host.reflexes.set(PEER, REFLEX);
    const request = (target = PEER, reflex = seenAt): void =>
      lone.tell(STRANGER, { type: "punch-request", target, reflex: blockOf(reflex) });
    return { ...lone, request };
  }

  it("tells each of the two who the other is, where it is seen, and the same moment", () => {
    const { host, request } = coordinator();
    const fireAtMs = BigInt(host.unixNow() + 500);
    request();
    expect(host.sent).toEqual([
      [STRANGER, { type: "punch-introduce", peer: PEER, reflex: blockOf(REFLEX), fireAtMs }],
      [PEER, { type: "punch-introduce", peer: STRANGER, reflex: blockOf(seenAt), fireAtMs }],
    ]);
  });

  it("names the same moment when the request is repeated", async () => {
    const { timers, host, request } = coordinator();
    request();
    await timers.advance(1_000);
    request();
    const moments = host.sent.map(([, message]) => message?.type === "punch-introduce" && message.fireAtMs);
    expect(moments).toHaveLength(4);
    expect(new Set(moments).size).toBe(1);
  });

  it("says why it introduces nobody: it does not know where the target is seen, or has no session with it", () => {
    const { host, traversal, request } = coordinator();
    host.reflexes.delete(PEER);
    request();
    request(42n);
    request(STRANGER);
    request(PEER, ELSEWHERE);
    expect(
      host.sent.map(([to, message]) => [to, message?.type === "punch-reject" && message.reason]),
    ).toEqual([
      [STRANGER, PunchRejection.NO_REFLEX],
      [STRANGER, PunchRejection.NO_SESSION],
      [STRANGER, PunchRejection.NOT_A_PAIR],
      [STRANGER, PunchRejection.NOT_YOURS],
    ]);
    expect(traversal.stats.coordinator).toMatchObject({ introduced: 0, rejected: 4 });
  });

  it("passes acks on in both directions, byte for byte, sixteen of them for an introduction", () => {
    const { host, traversal, tell, request } = coordinator();
    request();
    host.sent.length = 0;
    const [there, back] = [
      { type: "punch-ack", from: PEER, to: STRANGER, punchId: 0xcafebabe },
      { type: "punch-ack", from: STRANGER, to: PEER, punchId: 0 },
    ] as const;
    tell(PEER, there);
    tell(STRANGER, back);
    expect(host.sent).toEqual([
      [STRANGER, there],
      [PEER, back],
    ]);
    for (let i = 0; i < 40; i++) tell(PEER, there);
    expect(traversal.stats.coordinator).toMatchObject({ acksForwarded: 16, acksRefused: 26 });
  });

  it("passes no ack on for another node than its sender, nor after fifteen seconds", async () => {
    const { timers, host, traversal, tell, request } = coordinator();
    request();
    host.sent.length = 0;
    tell(STRANGER, { type: "punch-ack", from: PEER, to: PEER, punchId: 0 });
    tell(STRANGER, { type: "punch-ack", from: 42n, to: PEER, punchId: 0 });
    await timers.advance(15_001);
    tell(STRANGER, { type: "punch-ack", from: STRANGER, to: PEER, punchId: 0 });
    expect([host.sent, traversal.stats.coordinator.acksRefused]).toEqual([[], 3]);
  });

  it("forgets a window of requests after ten seconds", async () => {
    const { timers, traversal, request } = coordinator();
    for (let i = 0; i < 10; i++) request();
    expect(traversal.stats.coordinator).toMatchObject({ introduced: 6, rejected: 4 });
    await timers.advance(10_000);
    request();
    expect(traversal.stats.coordinator.introduced).toBe(7);
  });
});

describe("what is no rendezvous message", () => {
  const valid: readonly RendezvousMessage[] = [
    { type: "punch-request", target: PEER, reflex: blockOf(REFLEX) },
    introduction(),
    { type: "punch-ack", from: PEER, to: 1n, punchId: 0 },
  ];
  const bytesOf = (message: RendezvousMessage) => encodeRendezvous(message);
  const bad: readonly (readonly [string, Uint8Array])[] = [
    ["nothing", new Uint8Array()],
    ["an unknown kind", new Uint8Array(28).fill(255)],
    ["an unknown family", bytesOf(valid[0] as RendezvousMessage).with(9, 7)],
    ...valid.flatMap((message) => [
      [`a ${message.type} that is short`, bytesOf(message).subarray(0, -1)] as const,
      [`a ${message.type} that is long`, Uint8Array.of(...bytesOf(message), 0)] as const,
    ]),
  ];

  it.each(bad)("(%s) is counted and causes nothing", async (_, bytes) => {
    const { timers, host, traversal } = introducedNode();
    expect(decodeRendezvous(bytes)).toBeUndefined();
    traversal.receive(COORDINATOR, Subprotocol.RENDEZVOUS, bytes);
    await timers.advance(1_000);
    expect([traversal.stats.ignored, host.sent, host.keepAlives]).toEqual([1, [], []]);
  });
});
