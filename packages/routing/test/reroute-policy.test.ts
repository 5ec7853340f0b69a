import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { BLIND_DETOUR_METRIC, type PathSearch, ReroutePolicy, RoutingTable } from "../src/index.ts";

const [B, C, D, E] = [2n, 3n, 4n, 5n] as const;
const [FAR, OTHER] = [50n, 51n] as const;

function addressOf(id: bigint): SocketAddress {
  return SocketAddress.parse(`10.0.0.${id}:9000`);
}

/** A mesh of peers B, C, D, where FAR is behind B and OTHER behind C. */
function scenario(graph?: PathSearch, ids: readonly bigint[] = [B, C]) {
  const table = new RoutingTable(1n);
  const peers = new Map(ids.map((id) => [id, addressOf(id)]));
  for (const id of ids) table.addRoute(id, addressOf(id), 0);
  table.addRoute(FAR, addressOf(B), 0);
  table.addRoute(OTHER, addressOf(C), 0);
  return { table, peers, policy: new ReroutePolicy(table, peers, graph) };
}

describe("reroute policy", () => {
  it("moves what went through the failed peer, and nothing else", () => {
    const { table, policy } = scenario();
    expect(policy.onFailure(B, 0)).toBe(2);
    expect(table.lookupId(FAR, 0)?.key).toBe(addressOf(C).key);
    expect(table.lookupId(B, 0)?.key).toBe(addressOf(C).key);
    expect(table.route(OTHER)).toMatchObject({ nextHop: addressOf(C), metric: 1, isSession: true });
  });

  it("changes nothing without an alternate, for an unknown peer, or where nothing was affected", () => {
    const alone = scenario(undefined, [B]);
    alone.table.removeRoute(OTHER);
    expect(alone.policy.onFailure(B, 0)).toBe(0);
    expect(alone.policy.stats()).toEqual({ activeReroutes: 0, rerouteCount: 0, recoveryCount: 0 });
    expect(alone.table.lookupId(FAR, 0)?.key).toBe(addressOf(B).key);
    const { policy, peers } = scenario();
    expect(policy.onFailure(99n, 0)).toBe(0);
    peers.set(D, addressOf(D));
    expect(policy.onFailure(D, 0)).toBe(0);
  });

  it("brings everything back with the peer, as it was", () => {
    const { table, policy } = scenario();
    policy.onFailure(B, 0);
    expect(policy.onRecovery(B, 1)).toBe(2);
    for (const id of [B, FAR]) {
      expect(table.route(id)).toMatchObject({ nextHop: addressOf(B), metric: 1, isSession: true });
    }
    expect(policy.stats()).toEqual({ activeReroutes: 0, rerouteCount: 1, recoveryCount: 1 });
    expect(policy.onRecovery(B, 2)).toBe(0);
    expect(policy.onRecovery(99n, 2)).toBe(0);
  });

  it("brings it to where the peer is now", () => {
    const { table, peers, policy } = scenario();
    policy.onFailure(B, 0);
    peers.set(B, addressOf(77n));
    policy.onRecovery(B, 1);
    expect(table.lookupId(FAR, 1)?.key).toBe(addressOf(77n).key);
    expect(policy.stats().activeReroutes).toBe(0);
  });

  it("goes back to the first peer when the detour had failed, too", () => {
    const { table, policy } = scenario(undefined, [B, C, D]);
    policy.onFailure(B, 0);
    policy.onFailure(C, 1);
    expect(table.lookupId(FAR, 1)?.key).toBe(addressOf(B).key);
    expect(policy.stats().rerouteCount).toBe(2);
    policy.onRecovery(B, 2);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(B), isSession: true });
  });

  it("prefers the graph's path to any peer, with the length of the path as its metric (W4)", () => {
    const graph: PathSearch = { pathTo: () => [1n, B, D, 9n, FAR], node: () => undefined };
    const { table, policy } = scenario(graph, [B, C, D]);
    policy.onFailure(B, 0);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(D), metric: 4, isSession: false });
  });

  it("takes the neighbour that told of the destination when the edges lead nowhere", () => {
    const node = (id: bigint) => (id === FAR ? { address: addressOf(D), hops: 2 } : undefined);
    const { table, policy } = scenario({ pathTo: () => [1n, B, FAR], node }, [B, C, D]);
    policy.onFailure(B, 0);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(D), metric: 3 });
  });

  it("does not trust a node whose word came through the failed address, or from a stranger", () => {
    for (const address of [addressOf(B), addressOf(88n)]) {
      const node = (id: bigint) => (id === FAR ? { address, hops: 2 } : undefined);
      const { table, policy } = scenario({ pathTo: () => undefined, node }, [B, C]);
      policy.onFailure(B, 0);
      expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(C), metric: BLIND_DETOUR_METRIC });
    }
  });

  it("prefers a peer that the graph knows, then the lowest id, and never peer 0 (W5)", () => {
    const known: PathSearch = {
      pathTo: () => undefined,
      node: (id) => (id === D || id === E ? { address: addressOf(id), hops: 1 } : undefined),
    };
    const withGraph = scenario(known, [E, D, C, B]);
    withGraph.table.removeRoute(B);
    withGraph.policy.onFailure(B, 0);
    expect(withGraph.table.lookupId(FAR, 0)?.key).toBe(addressOf(D).key);
    const without = scenario(undefined, [E, D, C, B]);
    without.peers.set(0n, addressOf(99n));
    without.policy.onFailure(B, 0);
    expect(without.table.lookupId(FAR, 0)?.key).toBe(addressOf(C).key);
  });

  it("never sends a detour to the address that failed, which others share behind a relay (W5)", () => {
    const { table, peers, policy } = scenario();
    peers.set(C, addressOf(B));
    peers.set(D, addressOf(D));
    policy.onFailure(B, 0);
    expect(table.lookupId(FAR, 0)?.key).toBe(addressOf(D).key);
  });

  it("lets discovery improve a detour, and leaves the better way alone on recovery", () => {
    const { table, policy } = scenario();
    table.setDetour(FAR, addressOf(B), 4, 0);
    policy.onFailure(B, 0);
    expect(table.offerRoute(Number(FAR), 0, addressOf(E), 3, 10_000, 1)).toBe(true);
    policy.onRecovery(B, 2);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(E), metric: 3 });
    expect(policy.stats().activeReroutes).toBe(0);
  });

  it("restores a discovered route as discovered, and one that is gone or was replaced by a worse one", () => {
    const { table, policy } = scenario();
    table.setDetour(FAR, addressOf(B), 4, 0);
    policy.onFailure(B, 0);
    policy.onRecovery(B, 1);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(B), metric: 4, isSession: false });
    policy.onFailure(B, 2);
    table.removeRoute(FAR);
    policy.onRecovery(B, 3);
    expect(table.route(FAR)?.metric).toBe(4);
    policy.onFailure(B, 4);
    table.setDetour(FAR, addressOf(E), 9, 4);
    policy.onRecovery(B, 5);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(B), metric: 4 });
  });

  it("leaves a session alone that was made meanwhile", () => {
    const { table, policy } = scenario();
    policy.onFailure(B, 0);
    table.addRoute(FAR, addressOf(E), 1);
    policy.onRecovery(B, 2);
    expect(table.route(FAR)).toMatchObject({ nextHop: addressOf(E), isSession: true });
  });

  it("forgets what it saved for a peer that is evicted (W6)", () => {
    const { policy } = scenario(undefined, [B, C, D]);
    policy.onFailure(B, 0);
    policy.onFailure(C, 0);
    const { activeReroutes } = policy.stats();
    expect(policy.forgetPeer(B)).toBe(2);
    expect(policy.stats().activeReroutes).toBe(activeReroutes - 2);
    expect(policy.forgetPeer(B)).toBe(0);
  });
});
