import { SeededRandom } from "@netmesh/mesh/testing";
import { describe, expect, it } from "vitest";
import { NatNetwork, type TraversingNode, targetOf } from "./nat-network.ts";

/** Networks of ten pairs each, with seeds from 1 on; with `NETMESH_TEST_DEEP` as many as make 200 pairs. */
const NETWORKS = process.env["NETMESH_TEST_DEEP"] === undefined ? 4 : 20;

/** Pairs of a node behind a symmetric NAT and one behind another NAT, and how many of them come together. */
async function successes(seed: number, pairs: number, random: boolean, isSymmetricFirst: boolean) {
  const net = new NatNetwork({ seed, conditions: { delayMs: 20 } });
  const portRandom = new SeededRandom(seed + 1_000);
  const join = () => {
    const box = net.box("symmetric", random ? { portRandom } : {});
    const [a, b] = [net.join("symmetric", { box }), net.join("port-restricted")] as const;
    return isSymmetricFirst ? ([a, b] as const) : ([b, a] as const);
  };
  const all = Array.from({ length: pairs }, join);
  await net.advance(20_000);
  let direct = 0;
  let tried = 0;
  for (const [a, b] of all) {
    const { path } = await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    await net.advance(1_000);
    const isDirect = [routed(a, b), routed(b, a)].every((isRouted) => isRouted === false);
    if (path === "punched" && isDirect) direct++;
    for (const { nat } of [a, b]) tried += nat.traversal.stats.portSearch.portsTried;
  }
  return { direct, tried };
}

function routed(from: TraversingNode, to: TraversingNode): boolean | undefined {
  return from.node.core.peer(to.node.nodeId)?.session?.path.routed;
}

describe("nodes behind a symmetric NAT and a port-restricted one", () => {
  it("come together in four of five cases where ports are chosen at random, with 640 datagrams each", async () => {
    let direct = 0;
    for (let seed = 1; seed <= NETWORKS; seed++) {
      const result = await successes(seed, 10, true, seed % 2 === 0);
      direct += result.direct;
      expect(result.tried).toBeLessThanOrEqual(10 * 640);
    }
    expect(direct).toBeGreaterThanOrEqual(0.8 * 10 * NETWORKS);
  }, 300_000);

  it("come together in all of 40 cases where ports are counted, and try none at random", async () => {
    for (const [seed, isSymmetricFirst] of [
      [1, true],
      [2, true],
      [3, false],
      [4, false],
    ] as const) {
      expect(await successes(seed, 10, false, isSymmetricFirst)).toEqual({ direct: 10, tried: 0 });
    }
  }, 120_000);

  it("keep what they have found: the stream goes on over the socket that was reached", async () => {
    const net = new NatNetwork({ seed: 3, conditions: { delayMs: 20 } });
    const portRandom = new SeededRandom(5);
    const a = net.join("symmetric", { box: net.box("symmetric", { portRandom }) });
    const b = net.join("port-restricted");
    await net.advance(20_000);
    expect(await net.within(a.nat.traversal.connectDirect(targetOf(b)))).toMatchObject({ path: "punched" });
    await net.advance(60_000);
    expect([routed(a, b), routed(b, a)]).toEqual([false, false]);
    expect(a.node.node.sides.counters).toMatchObject({ opened: 256, kept: 1 });
    expect(a.node.eventsOf("path-changed")).toHaveLength(1);
  });

  it("search no ports of a node that asks for it again and again", async () => {
    const net = new NatNetwork({ seed: 3, conditions: { delayMs: 20 } });
    const portRandom = new SeededRandom(5);
    const a = net.join("symmetric", { box: net.box("symmetric", { portRandom }) });
    const b = net.join("port-restricted");
    await net.advance(20_000);
    // Nothing gets through between the two, so that every punch fails.
    const host = a.nat.traversal.reflex?.host;
    net.network.net.tap = (_, from, to) => ![from.host, to.host].every((h) => h.startsWith("203.0.113."));
    expect(host?.startsWith("203.0.113.")).toBe(true);
    for (let i = 0; i < 5; i++) await net.within(a.nat.traversal.connectDirect(targetOf(b)));
    const { portSearch } = b.nat.traversal.stats;
    expect(portSearch).toMatchObject({ searches: 2, portsTried: 2 * 640 });
    expect(portSearch.refused).toBeGreaterThan(0);
  });
});
