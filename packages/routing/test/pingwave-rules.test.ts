import { decodePingwave, encodePingwave, graphId, NodeHealth, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  type PingwaveNeighbor,
  PingwaveRules,
  type PingwaveRulesOptions,
  type PingwaveVerdict,
  ProximityGraph,
  RoutingError,
  RoutingTable,
} from "../src/index.ts";

const WALL_US = 1_700_000_000_000_000;

/** A node with its table, its graph and what it sent. */
class Node {
  readonly id: bigint;
  readonly table: RoutingTable;
  readonly graph: ProximityGraph;
  readonly rules: PingwaveRules;
  readonly sent: { readonly bytes: Uint8Array; readonly to: string }[] = [];

  constructor(id: bigint, options: PingwaveRulesOptions = {}) {
    this.id = id;
    this.table = new RoutingTable(id);
    this.graph = new ProximityGraph(id);
    const sendPingwave = (bytes: Uint8Array, offset: number, to: SocketAddress): void => {
      this.sent.push({ bytes: bytes.slice(offset, offset + 72), to: to.key });
    };
    this.rules = new PingwaveRules(this.table, this.graph, { sendPingwave }, options);
  }

  /** A session with that node is established. */
  meet(id: bigint): PingwaveNeighbor {
    this.table.addRoute(id, addressOf(id), 0);
    return this.rules.addNeighbor(id, addressOf(id), 0);
  }

  hear(bytes: Uint8Array, from: PingwaveNeighbor | undefined, nowMs = 0): PingwaveVerdict {
    return this.rules.receive(bytes, 0, bytes.length, from, nowMs, WALL_US);
  }
}

function addressOf(id: bigint): SocketAddress {
  return SocketAddress.parse(`10.0.0.${id}:9000`);
}

function wave(origin: bigint, { sequence = 1n, ttl = 3, hopCount = 0 } = {}): Uint8Array {
  return encodePingwave({
    originId: graphId(origin),
    sequence,
    ttl,
    hopCount,
    timestampUs: BigInt(WALL_US),
    capabilityHash: 0n,
    capabilityVersion: 0,
    load: 0,
    health: NodeHealth.HEALTHY,
    hasGpu: false,
    modelSlots: 0,
    memoryTier: 0,
    tools: 0,
    capabilityFlags: 0,
  });
}

describe("who is listened to", () => {
  it("is a registered neighbour: another source installs no route, no node and no edge", () => {
    const node = new Node(1n);
    expect(node.hear(wave(50n), undefined)).toBe("unregistered");
    expect([node.table.routeCount, node.graph.nodeCount, node.graph.stats().edges]).toEqual([0, 0, 0]);
  });

  it("is nobody with damaged, own or far-travelled pingwaves", () => {
    const node = new Node(1n);
    const b = node.meet(2n);
    const unhealthy = wave(50n);
    unhealthy[63] = 4;
    const noNodeId = wave(50n);
    noNodeId[31] = 1;
    const verdicts = [wave(50n).subarray(0, 71), unhealthy, noNodeId, wave(1n), wave(50n, { hopCount: 16 })];
    expect(verdicts.map((bytes) => node.hear(bytes, b))).toEqual([
      "malformed",
      "malformed",
      "malformed",
      "own",
      "exhausted",
    ]);
    expect(node.rules.verdicts).toMatchObject({ malformed: 3, own: 1, exhausted: 1, accepted: 0 });
    expect(node.graph.nodeCount).toBe(0);
    expect(node.hear(wave(50n, { hopCount: 15 }), b)).toBe("accepted");
  });

  it("is no neighbour with more than it may send, whatever the others do (W1)", () => {
    const node = new Node(1n, { pingwavesPerSecond: 10, pingwaveBurst: 5 });
    const [flooder, other] = [node.meet(2n), node.meet(3n)];
    const verdicts = Array.from({ length: 8 }, (_, i) =>
      node.hear(wave(50n, { sequence: BigInt(i + 1) }), flooder),
    );
    expect(verdicts.filter((each) => each === "rate-limited")).toHaveLength(3);
    expect(node.hear(wave(51n), other)).toBe("accepted");
    expect(node.hear(wave(50n, { sequence: 99n }), flooder, 100)).toBe("accepted");
  });

  it("is no neighbour that invents nodes, though what it says of known ones counts (W1, W2)", () => {
    const node = new Node(1n, { newOriginsPerSecond: 1, newOriginBurst: 2 });
    const b = node.meet(2n);
    const verdicts = [50n, 51n, 52n].map((origin) => node.hear(wave(origin), b));
    expect(verdicts).toEqual(["accepted", "accepted", "origin-limited"]);
    expect(node.hear(wave(50n, { sequence: 2n }), b)).toBe("accepted");
    expect(node.hear(wave(52n), b, 1_000)).toBe("accepted");
  });
});

describe("what it may change", () => {
  it("is an unknown destination, at metric hop count plus two", () => {
    const node = new Node(1n);
    const b = node.meet(2n);
    node.hear(wave(50n, { hopCount: 3 }), b);
    expect(node.table.route(50n)).toMatchObject({ nextHop: b.address, metric: 5, isSession: false });
  });

  it("is never a session's route", () => {
    const node = new Node(1n);
    node.meet(2n);
    const liar = node.meet(3n);
    for (let sequence = 1n; sequence < 50n; sequence++)
      node.hear(wave(2n, { sequence }), liar, Number(sequence) * 5_000);
    expect(node.table.route(2n)).toMatchObject({
      nextHop: addressOf(2n),
      metric: 1,
      isSession: true,
      updatedAtMs: 0,
    });
  });

  it("is never a better route, while its next hop confirms it", () => {
    const node = new Node(1n);
    const [b, c] = [node.meet(2n), node.meet(3n)];
    for (let sequence = 1n; sequence < 20n; sequence++) {
      const nowMs = Number(sequence) * 5_000;
      // The longer way is the faster one: C's copy comes first, B's counts as a second path.
      node.hear(wave(50n, { sequence, hopCount: 2 }), c, nowMs);
      expect(node.hear(wave(50n, { sequence, hopCount: 1 }), b, nowMs)).toBe("duplicate");
      expect(node.table.route(50n)).toMatchObject({ nextHop: b.address, metric: 3, updatedAtMs: nowMs });
    }
  });

  it("is a route whose own next hop has been silent for two pingwaves (W3)", () => {
    const node = new Node(1n);
    const [b, c] = [node.meet(2n), node.meet(3n)];
    node.hear(wave(50n, { sequence: 1n, hopCount: 1 }), b, 0);
    node.hear(wave(50n, { sequence: 2n, hopCount: 2 }), c, 5_000);
    node.hear(wave(50n, { sequence: 3n, hopCount: 2 }), c, 10_000);
    expect(node.table.route(50n)).toMatchObject({ nextHop: b.address, updatedAtMs: 0 });
    node.hear(wave(50n, { sequence: 4n, hopCount: 2 }), c, 10_001);
    expect(node.table.route(50n)).toMatchObject({ nextHop: c.address, metric: 4 });
  });

  it("is nothing when an old pingwave is replayed", () => {
    const node = new Node(1n);
    const b = node.meet(2n);
    const old = wave(50n, { sequence: 1n });
    const [first, replay] = [old.slice(), old.slice()];
    node.hear(first, b, 0);
    node.hear(wave(50n, { sequence: 2n }), b, 1_000);
    expect(node.hear(replay, b, 5_000)).toBe("stale");
    expect(node.table.route(50n)?.updatedAtMs).toBe(1_000);
  });

  it("is not the freshness of a path, silenced with invented sequences", () => {
    const node = new Node(1n);
    const [b, liar] = [node.meet(2n), node.meet(3n)];
    node.hear(wave(50n, { sequence: 1n, hopCount: 1 }), b, 0);
    for (let i = 2; i < 20; i++) {
      const nowMs = i * 5_000;
      const invented = wave(50n, { sequence: 2n ** 60n + BigInt(i), hopCount: 4 });
      node.hear(invented, liar, nowMs);
      expect(node.hear(wave(50n, { sequence: BigInt(i), hopCount: 1 }), b, nowMs)).toBe("accepted");
      expect(node.table.route(50n)).toMatchObject({ nextHop: b.address, metric: 3, updatedAtMs: nowMs });
    }
  });

  it("is nothing where there is no room for the node", () => {
    const node = new Node(1n);
    const b = node.meet(2n);
    const small = new ProximityGraph(1n, { maxNodes: 1 });
    const rules = new PingwaveRules(node.table, small, { sendPingwave: () => undefined });
    rules.receive(wave(50n), 0, 72, b, 0, WALL_US);
    expect(rules.receive(wave(51n), 0, 72, b, 0, WALL_US)).toBe("full");
    expect(node.table.route(51n)).toBeUndefined();
  });
});

describe("whom it is passed on to", () => {
  it("is every neighbour but the one it came from and the one on the way to its origin", () => {
    const node = new Node(1n);
    const [b] = [2n, 3n, 4n, 5n].map((id) => node.meet(id));
    // Packets for 50 go to 4, as a session says.
    node.table.addRoute(50n, addressOf(4n), 0);
    node.hear(wave(50n), b);
    expect(node.sent.map(({ to }) => to).sort()).toEqual([addressOf(3n).key, addressOf(5n).key]);
    expect(decodePingwave(node.sent[0]?.bytes as Uint8Array)).toMatchObject({ ttl: 2, hopCount: 1 });
  });

  it("is nobody for copies and for what has gone far enough", () => {
    const node = new Node(1n);
    const [b, c] = [node.meet(2n), node.meet(3n)];
    node.hear(wave(50n, { ttl: 0 }), b);
    expect(node.sent).toHaveLength(0);
    node.hear(wave(51n), b);
    expect(node.sent).toHaveLength(1);
    node.hear(wave(51n), c);
    expect(node.sent).toHaveLength(1);
  });

  it("is no more than the budget of copies allows, and not always the same", () => {
    const node = new Node(1n, { copiesPerSecond: 4 });
    const [b] = [2n, 3n, 4n, 5n].map((id) => node.meet(id));
    node.hear(wave(50n), b);
    node.hear(wave(51n), b);
    expect(node.rules.copies).toEqual({ sent: 4, withheld: 2 });
    node.hear(wave(52n), b, 250);
    node.hear(wave(53n), b, 500);
    expect(node.rules.copies.sent).toBe(6);
    expect(new Set(node.sent.slice(3).map(({ to }) => to)).size).toBeGreaterThan(1);
  });

  it("is nobody once the last neighbour has gone", () => {
    const node = new Node(1n);
    const b = node.meet(2n);
    expect(node.rules.removeNeighbor(b)).toBe(true);
    expect(node.rules.removeNeighbor(b)).toBe(false);
    expect(node.hear(wave(50n), b)).toBe("accepted");
    expect(node.sent).toHaveLength(0);
    const c = node.meet(3n);
    node.meet(4n);
    node.hear(wave(51n), c);
    expect(node.sent).toHaveLength(1);
  });
});

describe("a chain of four nodes", () => {
  it("learns who is at its far end within a few heartbeats, and keeps its own routes", () => {
    const nodes = [1n, 2n, 3n, 4n].map((id) => new Node(id));
    const links = new Map<string, PingwaveNeighbor>();
    for (let i = 0; i < 3; i++) {
      const [a, b] = [nodes[i] as Node, nodes[i + 1] as Node];
      links.set(`${a.id} hears ${b.id}`, a.meet(b.id));
      links.set(`${b.id} hears ${a.id}`, b.meet(a.id));
    }
    const scratch = new Uint8Array(72);
    const deliver = (nowMs: number): void => {
      for (const node of nodes) {
        for (const { bytes, to } of node.sent.splice(0)) {
          const receiver = nodes.find(({ id }) => addressOf(id).key === to) as Node;
          receiver.hear(bytes, links.get(`${receiver.id} hears ${node.id}`), nowMs);
        }
      }
    };
    for (let beat = 0; beat < 3; beat++) {
      for (const node of nodes) node.rules.emit(scratch, NodeHealth.HEALTHY, WALL_US);
      for (let hop = 0; hop < 4; hop++) deliver(beat * 5_000);
    }
    const [first] = nodes as [Node];
    expect(first.table.route(4n)).toMatchObject({ nextHop: addressOf(2n), metric: 4 });
    expect(first.graph.pathTo(4n)).toEqual([1n, 2n, 4n]);
    expect(first.table.route(2n)).toMatchObject({ nextHop: addressOf(2n), metric: 1, isSession: true });
    expect(first.rules.neighborCount).toBe(1);
  });
});

describe("pingwave rules", () => {
  it("have a bound on neighbours and refuse limits that make no sense", () => {
    const node = new Node(1n, { maxNeighbors: 1 });
    node.meet(2n);
    expect(() => node.meet(3n)).toThrow(RoutingError);
    for (const limit of ["confirmWithinMs", "copiesPerSecond", "maxNeighbors"]) {
      expect(() => new Node(1n, { [limit]: -1 })).toThrow(RoutingError);
    }
    expect(() => new Node(1n, { pingwavesPerSecond: -1 }).meet(2n)).toThrow(RoutingError);
  });
});
