import { describe, expect, it } from "vitest";
import { NatNetwork, type Place, targetOf } from "./nat-network.ts";

const PLACES: readonly Place[] = ["open", "full-cone", "address-restricted", "port-restricted", "symmetric"];

describe("a node between two direct peers", () => {
  it.each([
    ["open", "open"],
    ["full-cone", "cone"],
    ["address-restricted", "cone"],
    ["port-restricted", "cone"],
    ["symmetric", "symmetric"],
  ] as const)("behind nothing or a NAT (%s) finds out that it is %s", async (place, natClass) => {
    const net = new NatNetwork();
    const a = net.join(place);
    await net.advance(2_000);
    expect(a.nat.traversal.natClass).toBe(natClass);
    const told = net.relays[0]?.nat;
    await net.advance(12_000);
    expect(told?.natClassOf(a.node.nodeId)).toBe(natClass);
    expect(told?.reflexOf(a.node.nodeId)?.key).toBe(a.nat.traversal.reflex?.key);
  });
});

describe("two nodes", () => {
  for (const here of PLACES) {
    for (const there of PLACES) {
      it(`behind ${here} and ${there} find the shortest path`, async () => {
        const net = new NatNetwork();
        const a = net.join(here);
        const b = net.join(there);
        await net.advance(15_000);
        const outcome = await net.within(a.nat.traversal.connectDirect(targetOf(b)));
        console.log(here, there, outcome, net.network.clock.now());
      });
    }
  }
});
