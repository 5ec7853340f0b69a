import type { PunchIntroduce } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { type ConnectionOutcome, type NatClass, PunchRejection } from "../src/index.ts";
import { at, blockOf, COORDINATOR, type LoneNode, node, PEER, REFLEX } from "./traversing-node.ts";

const RELAY = at("198.51.100.9:9000");
const TARGET = { nodeId: PEER, publicKey: new Uint8Array(32) };

/** What happens to a node of one class that looks for one of another class. */
interface Situation {
  readonly own: NatClass;
  readonly remote: NatClass;
  /** What is different from a peer that answers over the relay, announces where it is seen and is not known yet. */
  readonly prepare?: (lone: LoneNode) => void;
  /** What happens while the call is under way. */
  readonly meanwhile?: (lone: LoneNode) => void;
  readonly withoutCoordinator?: boolean;
}

function looking({ own, remote, prepare }: Omit<Situation, "meanwhile">): LoneNode {
  const lone = node();
  const { host, traversal } = lone;
  host.add(COORDINATOR, { isDirect: true, address: RELAY });
  host.reflexes.set(PEER, REFLEX);
  host.classes.set(PEER, remote);
  host.answering.set(RELAY.key, { isDirect: false });
  traversal.setReflexOverride(at("44.1.2.3:9"));
  traversal.forceClass(own);
  prepare?.(lone);
  return lone;
}

const figures = ({ traversal }: LoneNode) => {
  const { punchesAttempted, punchesSucceeded, relayFallbacks } = traversal.stats;
  return [punchesAttempted, punchesSucceeded, relayFallbacks];
};

const introduction = (): PunchIntroduce => ({
  type: "punch-introduce",
  peer: PEER,
  reflex: blockOf(REFLEX),
  fireAtMs: 0n,
});
const introduce = ({ tell }: LoneNode) => tell(COORDINATOR, introduction());
const acked = (lone: LoneNode) => {
  introduce(lone);
  lone.tell(COORDINATOR, { type: "punch-ack", from: PEER, to: 1n, punchId: 0 });
};
const answersThere = ({ host }: LoneNode) => host.answering.set(REFLEX.key, { isDirect: true });
const nobodyAnswers = ({ host }: LoneNode) => host.answering.clear();
const noPath = ({ host }: LoneNode) => host.answering.set(RELAY.key, { isDirect: false, movesPaths: false });

const SITUATIONS: readonly (readonly [string, Situation, string, readonly number[]])[] = [
  [
    "the announced address answers",
    { own: "open", remote: "open", prepare: answersThere },
    "direct direct-answered",
    [0, 0, 0],
  ],
  [
    "the announced address answers, and the coordinator is not there",
    { own: "open", remote: "open", prepare: answersThere, withoutCoordinator: true },
    "direct direct-answered",
    [0, 0, 0],
  ],
  [
    "there is a direct session already",
    { own: "cone", remote: "cone", prepare: ({ host }) => host.add(PEER, { isDirect: true }) },
    "direct already-direct",
    [0, 0, 0],
  ],
  [
    "the announced address is silent, and so is the coordinator",
    { own: "open", remote: "open" },
    "relayed direct-silent",
    [0, 0, 1],
  ],
  [
    "the announced address is silent, and the relay does not lead there either",
    { own: "open", remote: "open", prepare: nobodyAnswers },
    "transport",
    [0, 0, 0],
  ],
  [
    "nobody knows where the peer is, and the coordinator is not there",
    { own: "open", remote: "open", prepare: ({ host }) => host.reflexes.clear(), withoutCoordinator: true },
    "peer-not-reachable",
    [0, 0, 0],
  ],
  [
    "nobody knows where the peer is, and the coordinator leads there",
    { own: "unknown", remote: "unknown", prepare: ({ host }) => host.reflexes.clear() },
    "relayed no-introduction",
    [0, 0, 1],
  ],
  ["no punch can help", { own: "symmetric", remote: "symmetric" }, "relayed no-way", [0, 0, 1]],
  [
    "no punch can help, and nobody knows where the peer is",
    { own: "symmetric", remote: "unknown", prepare: ({ host }) => host.reflexes.clear() },
    "relayed no-way",
    [0, 0, 1],
  ],
  [
    "no punch can help, and the relay does not lead there",
    { own: "symmetric", remote: "symmetric", prepare: nobodyAnswers },
    "transport",
    [0, 0, 0],
  ],
  [
    "no punch can help, and the coordinator is not there",
    { own: "symmetric", remote: "symmetric", withoutCoordinator: true },
    "peer-not-reachable",
    [0, 0, 0],
  ],
  [
    "a punch is due, and the coordinator is not there",
    { own: "cone", remote: "cone", withoutCoordinator: true },
    "peer-not-reachable",
    [0, 0, 0],
  ],
  [
    "a punch is due, and the relay does not lead there",
    { own: "cone", remote: "cone", prepare: nobodyAnswers },
    "transport",
    [0, 0, 0],
  ],
  ["the coordinator is silent", { own: "cone", remote: "cone" }, "relayed no-introduction", [0, 0, 1]],
  [
    "the coordinator does not know where the peer is",
    {
      own: "cone",
      remote: "cone",
      meanwhile: ({ tell }) =>
        tell(COORDINATOR, { type: "punch-reject", target: PEER, reason: PunchRejection.NO_REFLEX }),
    },
    "relayed coordinator-cannot",
    [0, 0, 1],
  ],
  [
    "the coordinator refuses",
    {
      own: "cone",
      remote: "cone",
      meanwhile: ({ tell }) =>
        tell(COORDINATOR, { type: "punch-reject", target: PEER, reason: PunchRejection.NOT_YOURS }),
    },
    "relayed coordinator-refused",
    [0, 0, 1],
  ],
  [
    "both are introduced, and nothing is heard",
    { own: "cone", remote: "cone", meanwhile: introduce },
    "relayed nothing-heard",
    [1, 0, 1],
  ],
  [
    "both are introduced, and nothing that is heard is authenticated",
    { own: "cone", remote: "cone", meanwhile: acked },
    "relayed unproven",
    [1, 0, 1],
  ],
  [
    "both are introduced, and the session moves",
    {
      own: "cone",
      remote: "cone",
      meanwhile: (lone) => {
        acked(lone);
        lone.traversal.pathChanged(PEER, REFLEX, true);
      },
    },
    "punched punched",
    [1, 1, 0],
  ],
  [
    "a node of Net acks, and shakes hands there",
    {
      own: "cone",
      remote: "cone",
      prepare: noPath,
      meanwhile: (lone) => {
        answersThere(lone);
        acked(lone);
      },
    },
    "punched punched",
    [1, 1, 0],
  ],
  [
    "a node of Net acks, and does not shake hands there",
    { own: "cone", remote: "cone", prepare: noPath, meanwhile: acked },
    "relayed unproven",
    [1, 0, 1],
  ],
];

async function outcomeOf(lone: LoneNode, { meanwhile, withoutCoordinator }: Situation): Promise<string> {
  const { timers, traversal } = lone;
  const call = traversal.connectDirect(TARGET, [withoutCoordinator ? 42n : COORDINATOR]).then(
    ({ path, reason }: ConnectionOutcome) => `${path} ${reason}`,
    (error: { readonly kind: string }) => error.kind,
  );
  await timers.advance(100);
  meanwhile?.(lone);
  await timers.advance(20_000);
  return await call;
}

describe("the figures of a call that looks for a path", () => {
  it.each(SITUATIONS)("when %s", async (_, situation, expected, moved) => {
    const lone = looking(situation);
    expect(figures(lone)).toEqual([0, 0, 0]);
    expect(await outcomeOf(lone, situation)).toBe(expected);
    expect(figures(lone)).toEqual(moved);
    const [attempt, ...others] = lone.traversal.stats.attempts;
    expect(others).toEqual([]);
    const { own, remote } = situation;
    const told = `${attempt?.path === "none" ? "" : `${attempt?.path} `}${attempt?.reason}`;
    expect([attempt?.own, attempt?.remote, told, attempt?.count]).toEqual([own, remote, expected, 1]);
  });

  it("never get smaller, whatever comes of further calls", async () => {
    const lone = looking({ own: "open", remote: "open" });
    const { host, traversal } = lone;
    let before = figures(lone);
    for (const [, situation] of [...SITUATIONS, ...SITUATIONS]) {
      host.known.delete(PEER);
      host.answering.clear();
      host.answering.set(RELAY.key, { isDirect: false });
      host.reflexes.set(PEER, REFLEX);
      host.classes.set(PEER, situation.remote);
      traversal.forceClass(situation.own);
      situation.prepare?.(lone);
      await outcomeOf(lone, situation);
      const now = figures(lone);
      expect(now.every((figure, i) => figure >= (before[i] as number))).toBe(true);
      before = now;
    }
    expect(before).toEqual(
      SITUATIONS.reduce((sum, [, , , moved]) => sum.map((n, i) => n + 2 * (moved[i] ?? 0)), [0, 0, 0]),
    );
  });
});

describe("a call that cannot come to anything", () => {
  it.each(["open", "cone", "symmetric", "unknown"] as const)(
    "from a node that is %s ends before any time has passed, and sends nothing",
    async (own) => {
      const { timers, host, traversal, kindOf } = node();
      traversal.forceClass(own);
      const startMs = timers.now();
      expect(await kindOf(traversal.connectDirect(TARGET, [42n]))).toBe("peer-not-reachable");
      expect([timers.now() - startMs, host.sent, host.keepAlives, timers.pending]).toEqual([0, [], [], 0]);
    },
  );

  it("for want of an introduction ends when the deadline is over", async () => {
    const attempts: number[] = [];
    const lone = looking({ own: "cone", remote: "cone" });
    const startMs = lone.timers.now();
    const call = lone.traversal.connectDirect(TARGET, [COORDINATOR]).then(() => {
      attempts.push(lone.timers.now() - startMs);
    });
    await lone.timers.advance(4_999);
    expect(attempts).toEqual([]);
    await lone.timers.advance(1);
    await call;
    expect(attempts).toEqual([5_000]);
  });
});
