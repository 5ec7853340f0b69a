import { channelHash, channelWireHash } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { AuthGuard, type Authorization } from "../src/channel/auth-guard.ts";
import { Reach, Roster } from "../src/channel/roster.ts";
import {
  areSubnetSiblings,
  type ChannelVisibility,
  formatSubnetId,
  type GatewayVerdict,
  isSubnetAncestor,
  isVisible,
  parseSubnetId,
  SubnetGateway,
  SubnetPolicy,
  subnetDepth,
  subnetId,
  subnetParent,
} from "../src/index.ts";
import { codeOf } from "./traffic.ts";
import capability from "./vectors/capability.json" with { type: "json" };
import channel from "./vectors/channel.json" with { type: "json" };

const VISIBILITIES: Record<string, ChannelVisibility> = {
  Global: "global",
  SubnetLocal: "subnet-local",
  ParentVisible: "parent-visible",
  Exported: "exported",
};

const VERDICTS: Record<string, GatewayVerdict> = {
  Forward: "forward",
  "Drop(TtlExpired)": "ttl-expired",
  "Drop(SubnetLocal)": "subnet-local",
  "Drop(NotAncestor)": "not-ancestor",
  "Drop(NotExported)": "not-exported",
};

describe("subnets of the reference", () => {
  it.each(capability.subnet_id)("have the same id: $levels", ({ levels, raw, depth, parent, display }) => {
    if (raw === null) {
      expect(codeOf(() => subnetId(...levels))).toBe("invalid-argument");
      return;
    }
    const id = subnetId(...levels);
    expect([id, subnetDepth(id), subnetParent(id), formatSubnetId(id)]).toEqual([
      raw,
      depth,
      parent,
      display,
    ]);
  });

  it("are related in the same way", () => {
    for (const [a, b, isAncestor, isSame, areSiblings] of capability.subnet_relations as [
      number,
      number,
      boolean,
      boolean,
      boolean,
    ][]) {
      const own = [isSubnetAncestor(a, b), a === b, areSubnetSiblings(a, b)];
      expect(own, `${formatSubnetId(a)} and ${formatSubnetId(b)}`).toEqual([isAncestor, isSame, areSiblings]);
    }
  });

  it.each(capability.subnet_parse)("are read from the same texts: $input", ({ input, raw, error }) => {
    if (error) expect(codeOf(() => parseSubnetId(input))).toBe("invalid-argument");
    else expect(parseSubnetId(input)).toBe(raw);
  });

  it("are assigned by the same tags", () => {
    for (const { rules, tags, assigned } of capability.subnet_policy_assign) {
      const policy = new SubnetPolicy(
        rules.map(({ level, tag_prefix: tagPrefix, values }) => ({
          level,
          tagPrefix,
          values: values as unknown as Record<string, number>,
        })),
      );
      expect(policy.assign(tags), tags.join()).toBe(assigned);
    }
  });

  it("see the same channels", () => {
    for (const { source, dest, visibility, subnet_visible } of channel.subnet_visible) {
      const own = isVisible(VISIBILITIES[visibility] as ChannelVisibility, source, dest);
      expect(own, `${visibility} ${source} ${dest}`).toBe(subnet_visible);
    }
  });

  it("get the same packets from a gateway, which counts them", () => {
    const gateway = new SubnetGateway();
    gateway.register("local", "subnet-local");
    gateway.register("parent", "parent-visible");
    gateway.register("exported", "exported", [0x02000000, 0x02030000]);
    gateway.register("glob", "global");
    for (const one of channel.subnet_gateway_local_1) {
      const { source, dest, channel_wire_hash: hash, hop_ttl: ttl, hop_count: hops, decision } = one;
      expect(gateway.shouldForward(source, dest, hash, ttl, hops), JSON.stringify(one)).toBe(
        VERDICTS[decision],
      );
    }
    const total = Object.values(gateway.verdicts).reduce((sum, count) => sum + count);
    expect(total).toBe(channel.subnet_gateway_local_1.length);
  });
});

describe("a gateway", () => {
  it("takes channels that share their 16 bits for local ones", () => {
    const gateway = new SubnetGateway();
    gateway.register("a", "global");
    gateway.register("a", "global");
    const hash = wireHashOf("a");
    const shared = otherNameFor(hash);
    expect(gateway.shouldForward(1 << 24, 2 << 24, hash, 8, 0)).toBe("forward");
    gateway.register(shared, "global");
    expect(gateway.shouldForward(1 << 24, 2 << 24, hash, 8, 0)).toBe("subnet-local");
    expect(codeOf(() => gateway.register("a", "exported", [-1]))).toBe("invalid-argument");
  });
});

describe("the roster of the reference", () => {
  it("goes through the same states", () => {
    const roster = new Roster();
    for (const { op, result, after } of channel.roster as unknown as {
      op: [string, ...never[]];
      result: unknown;
      after: object;
    }[]) {
      const [name, ...rest] = op as unknown as [string, ...unknown[]];
      if (name === "add") {
        const [on, node, mode] = rest as [string, number, string];
        const group = mode.startsWith("queue:") ? mode.slice("queue:".length) : undefined;
        expect(roster.add(on, BigInt(node), group), JSON.stringify(op)).toBe(result);
      } else if (name === "remove") {
        expect(roster.remove(rest[0] as string, BigInt(rest[1] as number))).toBe(result);
      } else if (name === "remove_peer") {
        expect(roster.removePeer(BigInt(rest[0] as number)).sort()).toEqual(result);
      } else {
        const ids = (roster.channel(rest[0] as string)?.select(() => Reach.HERE) ?? []).map(
          ({ nodeId }) => nodeId,
        );
        expect(ids).toHaveLength((result as { count: number }).count);
        expect(ids).toContain(2n);
        expect(ids.filter((id) => id === 1n || id === 3n)).toHaveLength(1);
      }
      const members = [...(roster.channel("a")?.members.keys() ?? [])].map(Number).sort();
      expect({
        members_a: members,
        channel_count: roster.channelCount,
        peer_count: roster.peerCount,
      }).toEqual(after);
    }
  });
});

describe("the guard of the reference", () => {
  it("lets the same peers pass, and none by the 16 bits or the hash of a name", () => {
    const guard = new AuthGuard();
    const authorization = { chain: undefined } as Authorization;
    for (const { op, full_42: isAllowed, authorized_count: count } of channel.auth_guard) {
      if (op.startsWith("allow")) guard.allow(42n, "a/b", authorization);
      if (op.startsWith("revoke")) expect(guard.revoke(42n, "a/b")).toBe(true);
      expect([guard.get(42n, "a/b") !== undefined, guard.size]).toEqual([isAllowed, count]);
      expect(guard.get(43n, "a/b") ?? guard.get(42n, "a")).toBeUndefined();
    }
    expect(guard.revoke(42n, "a/b")).toBe(false);
  });
});

function wireHashOf(name: string): number {
  return channelWireHash(channelHash(name));
}

function otherNameFor(hash: number): string {
  for (let i = 0; ; i++) if (wireHashOf(`c/${i}`) === hash) return `c/${i}`;
}
