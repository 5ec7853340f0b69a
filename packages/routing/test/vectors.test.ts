import { joinU64, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { FairScheduler, RouteDecision, Router, type RouteVerdict, RoutingTable } from "../src/index.ts";
import { fromHex, toHex } from "./hex.ts";
import vectors from "./vectors/routing.json" with { type: "json" };

interface Step {
  readonly op: readonly [string, ...(string | number)[]];
  readonly result: unknown;
  readonly route_count: number;
  readonly routes: readonly unknown[];
}

interface Forwarding {
  readonly name: string;
  readonly local_id: string;
  readonly routes: Readonly<Record<string, string>>;
  readonly datagram: string;
  readonly result: { error?: string; local?: string; forwarded?: string; packet?: string };
  readonly queued?: { dest: string; data: string; stream_id: string; priority: boolean } | null;
}

const VERDICTS: Readonly<Record<string, RouteVerdict>> = {
  PacketTooSmall: "too-short",
  InvalidHeader: "invalid-header",
  TtlExpired: "ttl-expired",
  NoRoute: "no-route",
  RoutingLoop: "loop",
};

/** Applies one scripted operation; a remark in brackets after its name is ignored. */
function apply(table: RoutingTable, op: Step["op"], clock: { nowMs: number }): unknown {
  const [name] = op[0].split(" (") as [string];
  const id = (): bigint => BigInt(op[1] as number);
  const address = (): SocketAddress => SocketAddress.parse(op[2] as string);
  switch (name) {
    case "lookup":
      return table.lookupId(id(), clock.nowMs)?.key ?? null;
    case "lookup_alternate":
      return table.lookupAlternateId(id(), address(), clock.nowMs)?.key ?? null;
    case "add_route":
      table.addRoute(id(), address(), clock.nowMs);
      return null;
    case "add_route_with_metric":
      table.addRouteWithMetric(id(), address(), op[3] as number, clock.nowMs);
      return null;
    case "remove_route":
      return table.removeRoute(id())?.nextHop.key ?? null;
    case "remove_route_if_next_hop_is":
      return table.removeRouteIfNextHopIs(id(), address());
    case "deactivate_route":
      table.deactivateRoute(id());
      return null;
    case "activate_route":
      table.activateRoute(id(), clock.nowMs);
      return null;
    case "is_local":
      return table.isLocalId(id());
    case "set_max_route_age_ms":
      table.setMaxRouteAge(op[1] as number);
      return null;
    case "sweep_stale_ms":
      return table.sweepStale(op[1] as number, clock.nowMs);
    case "advance_ms":
      clock.nowMs += op[1] as number;
      return null;
    case "add 5, advance 300, add 6":
      table.addRoute(5n, SocketAddress.parse("10.0.0.5:9005"), clock.nowMs);
      clock.nowMs += 300;
      table.addRoute(6n, SocketAddress.parse("10.0.0.6:9006"), clock.nowMs);
      return null;
    default:
      throw new Error(`unknown operation ${name}`);
  }
}

describe("reference routing table", () => {
  const runs = vectors.routing_table as unknown as { name: string; local_id: number; steps: Step[] }[];
  it.each(runs)("$name", ({ local_id, steps }) => {
    const table = new RoutingTable(BigInt(local_id));
    const clock = { nowMs: 0 };
    for (const [index, step] of steps.entries()) {
      const result = apply(table, step.op, clock);
      const routes = table
        .allRoutes()
        .sort((a, b) => Number(a.destination - b.destination))
        .map((route) => [Number(route.destination), route.nextHop.key, route.metric, route.isActive]);
      expect({ index, op: step.op, result, route_count: table.routeCount, routes }).toEqual({
        index,
        ...step,
      });
    }
  });
});

describe.each(["route_packet", "proxy_forward"] as const)("reference %s", (group) => {
  // The cases without a datagram are about the depth of the queue, below.
  const cases = (vectors[group] as unknown as Partial<Forwarding>[]).filter(
    (each): each is Forwarding => each.datagram !== undefined,
  );
  it.each(cases)("$name", ({ local_id, routes, datagram, result, queued }) => {
    const table = new RoutingTable(BigInt(local_id));
    for (const [id, hop] of Object.entries(routes)) table.addRoute(BigInt(id), SocketAddress.parse(hop), 0);
    const decision = new RouteDecision(table, group === "route_packet" ? "router" : "proxy");
    const bytes = fromHex(datagram);
    const verdict = decision.decide(bytes, 0, bytes.length, 0);

    if (result.error !== undefined) {
      expect(verdict).toBe(VERDICTS[result.error]);
    } else if (result.local !== undefined) {
      expect(verdict).toBe("local");
      expect(toHex(bytes.subarray(18))).toBe(result.local);
    } else {
      expect(verdict).toBe("forward");
      expect(decision.nextHop?.key).toBe(result.forwarded);
      expect(toHex(bytes)).toBe(queued?.data ?? result.packet);
    }
    if (queued) {
      expect(joinU64(decision.streamLo, decision.streamHi).toString()).toBe(queued.stream_id);
      expect(decision.hasPriority).toBe(queued.priority);
      expect(decision.nextHop?.key).toBe(queued.dest);
    }
  });
});

it("reference route_packet: a queue of 4 takes four packets and refuses the fifth", () => {
  const table = new RoutingTable(1n);
  table.addRoute(7n, SocketAddress.parse("10.0.0.7:9007"), 0);
  const router = new Router(table, { maxDepth: 4 });
  const datagram = (vectors.route_packet.find(({ name }) => name === "header only") as Forwarding).datagram;
  const verdicts = Array.from({ length: 5 }, () => router.route(fromHex(datagram), 0));
  expect(verdicts).toEqual(["forward", "forward", "forward", "forward", "queue-full"]);
});

interface SchedulerStep {
  readonly op: readonly [string, ...(number | boolean)[]];
  readonly result: unknown;
  readonly current_depth: number;
  readonly total_queued: number;
  readonly total_dropped: number;
  readonly stream_count: number;
}

describe("reference fair scheduler", () => {
  const hop = SocketAddress.parse("10.0.0.7:9007");
  const runs = vectors.fair_scheduler as unknown as {
    name: string;
    quantum: number;
    max_depth: number;
    steps: SchedulerStep[];
  }[];
  it.each(runs)("$name", ({ quantum, max_depth, steps }) => {
    const scheduler = new FairScheduler({ quantum, maxDepth: max_depth });
    const streamOfTag = new Map<number, number>();
    for (const [index, step] of steps.entries()) {
      const [name, first, second, third] = step.op;
      let result: unknown = null;
      if (name === "enqueue") {
        const stream = first as number;
        const tag = second as number;
        streamOfTag.set(tag, stream);
        result = scheduler.enqueue(Uint8Array.of(tag), hop, stream, 0, third as boolean, 0);
      } else if (name === "dequeue") {
        const packet = scheduler.dequeue();
        const tag = packet?.bytes[0] as number;
        if (packet !== undefined) result = [streamOfTag.get(tag), tag, packet.isPriority];
      } else if (name === "weight") {
        scheduler.setStreamWeight(BigInt(first as number), second as number);
      } else {
        result = scheduler.cleanupEmpty();
      }
      const { depth, totalQueued, totalDropped, streams } = scheduler.stats();
      expect({ index, op: step.op, result, depth, totalQueued, totalDropped, streams }).toEqual({
        index,
        op: step.op,
        result: step.result,
        depth: step.current_depth,
        totalQueued: step.total_queued,
        totalDropped: step.total_dropped,
        streams: step.stream_count,
      });
    }
  });

  const races = vectors.fair_scheduler_fairness as unknown as {
    name: string;
    quantum: number;
    streams: { stream_id: number; weight: number; backlog: number }[];
    dequeued_count_bounds: Record<string, [number, number]>[];
  }[];
  it.each(races)("stays within the bounds of the reference: $name", ({ quantum, streams, ...race }) => {
    const scheduler = new FairScheduler({ quantum });
    for (const { stream_id, weight, backlog } of streams) {
      scheduler.setStreamWeight(BigInt(stream_id), weight);
      for (let i = 0; i < backlog; i++) {
        scheduler.enqueue(Uint8Array.of(stream_id), hop, stream_id, 0, false, 0);
      }
    }
    const counts = new Map<string, number>();
    for (const [n, bounds] of race.dequeued_count_bounds.entries()) {
      const stream = String(scheduler.dequeue()?.bytes[0]);
      counts.set(stream, (counts.get(stream) ?? 0) + 1);
      for (const [id, [min, max]] of Object.entries(bounds)) {
        const count = counts.get(id) ?? 0;
        expect(count >= min && count <= max, `stream ${id} after ${n + 1}: ${count} in ${min}..${max}`).toBe(
          true,
        );
      }
    }
    expect(scheduler.dequeue()).toBeUndefined();
  });
});
