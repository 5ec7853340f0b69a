import { HOUSEHOLDS, whyUnavailable } from "@netmesh/nat-lab";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { duration, publish, table } from "./measured-document.ts";
import { type HomeMesh, type Meeting, NatWorld, until } from "./nat-world.ts";

const TALK_EVERY_MS = 50;
/** How long data is watched after something has happened. */
const WATCH_MS = 4_000;
/** No direction may be silent for longer. */
const HEALED_WITHIN_MS = 2_000;
/** A router that was up for a second or two before it restarts has an epoch that looks right (RFC 6887 §8.5). */
const UP_FOR_MS = 4_000;

function now(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe.skipIf(whyUnavailable() !== undefined)(
  "data between two households goes on within two seconds",
  () => {
    let world: NatWorld;
    let a: HomeMesh;
    let b: HomeMesh;
    const rows: string[][] = [];

    beforeAll(async () => {
      world = await NatWorld.create();
    });

    afterAll(async () => {
      await world?.[Symbol.asyncDispose]();
      publish("changes", table([["what happens", "silence there", "silence back"], ...rows]));
    });

    beforeEach(async () => {
      await world.renewRelays();
      await world.home("a", "port-preserving");
      await world.home("b", "port-restricted");
    });

    afterEach(async () => {
      await world.close(a, b);
    });

    async function meet(): Promise<Meeting> {
      [a, b] = await Promise.all([world.open("a", { upgrade: true }), world.open("b", { upgrade: true })]);
      const meeting = await world.reach(a, b);
      await world.paths(a, b, (path) => path !== "relayed");
      return meeting;
    }

    const arrivals = (at: HomeMesh, from: HomeMesh) => at.host.call("arrivals", at.name, from.contact.nodeId);

    /** The longest silence in each direction, in milliseconds, around something that happens while both talk. */
    async function silences(what: string, happen: () => void | Promise<void>): Promise<readonly number[]> {
      const ways = [
        [a, b],
        [b, a],
      ] as const;
      for (const [from, to] of ways)
        await from.host.call("talk", from.name, to.contact.nodeId, TALK_EVERY_MS);
      for (const [from, to] of ways) {
        await until(async () => ((await arrivals(to, from)).length > 20 ? true : undefined), "both talk");
      }
      const startMs = now();
      await happen();
      const endMs = now() + WATCH_MS;
      await pause(WATCH_MS);
      const longest: number[] = [];
      for (const [from, to] of ways) {
        const moments = (await arrivals(to, from)).filter((moment) => moment > startMs && moment < endMs);
        const edges = [startMs, ...moments, endMs];
        longest.push(Math.max(...edges.slice(1).map((moment, i) => moment - (edges[i] as number))));
      }
      rows.push([what, ...longest.map(duration)]);
      return longest;
    }

    it("when a router has forgotten its flows", async () => {
      expect((await meet()).path).toBe("punched");
      const longest = await silences("a router forgets its flows", () => world.lab.forgetFlows("a"));
      expect(Math.max(...longest)).toBeLessThanOrEqual(HEALED_WITHIN_MS);
    });

    it("when a router gives a node another port", async () => {
      expect((await meet()).path).toBe("punched");
      const longest = await silences("a router gives a node another port", () =>
        world.home("a", "port-restricted"),
      );
      expect(Math.max(...longest)).toBeLessThanOrEqual(HEALED_WITHIN_MS);
    });

    it("when a provider gives a router another address", async () => {
      expect((await meet()).path).toBe("punched");
      const longest = await silences("a router gets another address", () =>
        world.lab.wanAddress("a", "44.128.1.77"),
      );
      expect(Math.max(...longest)).toBeLessThanOrEqual(HEALED_WITHIN_MS);
      await world.close(a, b);
      world.lab.wanAddress("a", HOUSEHOLDS.a.wan);
      await meet();
    });

    it("when a router that has mapped a port is turned off and on, and the port is mapped again", async () => {
      await world.home("b", "mapped");
      expect((await meet()).path).toBe("direct");
      await pause(UP_FOR_MS);
      const longest = await silences("a router with a mapped port is turned off and on", () =>
        world.lab.reboot("b"),
      );
      expect(Math.max(...longest)).toBeLessThanOrEqual(HEALED_WITHIN_MS);
      await until(
        async () => (world.lab.daemon("b").rules.includes("7000") ? true : undefined),
        "the port is mapped again",
      );
    });
  },
);
