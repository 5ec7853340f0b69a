import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { Reachability } from "../src/reachability.ts";

const SEEN = SocketAddress.parse("198.51.100.1:9000");
const OTHER = SocketAddress.parse("198.51.100.2:9000");
const MAPPED = SocketAddress.parse("198.51.100.3:9000");
const MAPPING = { external: MAPPED, internalPort: 7_000, ttlMs: 3_600_000, protocol: "nat-pmp" } as const;

function create() {
  const states: string[] = [];
  const reachability: Reachability = new Reachability(() => states.push(show(reachability)));
  return { reachability, states };
}

const show = ({ natClass, reflex }: Reachability) => `${natClass} ${reflex?.key}`;

describe("the reachability of a node", () => {
  it("changes class and address as one, and says so once", () => {
    const { reachability, states } = create();
    reachability.commit("cone", SEEN);
    reachability.commit("cone", SEEN);
    expect(states).toEqual(["cone 198.51.100.1:9000"]);
  });

  it("is kept when too few answers came, but for the address", () => {
    const { reachability } = create();
    reachability.commit("cone", SEEN);
    reachability.commit("unknown", OTHER);
    expect(show(reachability)).toBe("cone 198.51.100.2:9000");
    reachability.commit("unknown", undefined);
    expect(show(reachability)).toBe("cone 198.51.100.2:9000");
  });

  it("takes another class from the second sweep that finds it, and symmetric at once", () => {
    const { reachability } = create();
    reachability.commit("symmetric", SEEN);
    reachability.commit("cone", SEEN);
    expect(reachability.natClass).toBe("symmetric");
    reachability.commit("cone", SEEN);
    expect(reachability.natClass).toBe("cone");
    reachability.commit("symmetric", SEEN);
    expect(reachability.natClass).toBe("symmetric");
  });

  it("obeys the operator before a mapping and that before sweeps, and each takes back only its own", () => {
    const { reachability } = create();
    reachability.mapping.applyInstall(MAPPING);
    reachability.commit("cone", SEEN);
    expect(show(reachability)).toBe("open 198.51.100.3:9000");
    reachability.setOverride(OTHER);
    reachability.commit("unknown", undefined);
    reachability.commit("symmetric", SEEN);
    expect(show(reachability)).toBe("open 198.51.100.2:9000");
    reachability.mapping.applyRenewal(MAPPING);
    expect(show(reachability)).toBe("open 198.51.100.2:9000");
    expect(reachability.clearOverride()).toBe(true);
    expect(reachability.clearOverride()).toBe(false);
    expect(show(reachability)).toBe("open 198.51.100.3:9000");
    reachability.mapping.applyRevoke();
    expect(show(reachability)).toBe("unknown undefined");
  });
});
