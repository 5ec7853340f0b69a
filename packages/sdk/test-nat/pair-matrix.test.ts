import { HOUSEHOLDS, whyUnavailable } from "@netmesh/nat-lab";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { duration, median, publish, table } from "./measured-document.ts";
import { HOMES, type Home, type Meeting, NatWorld } from "./nat-world.ts";

/** Of each WAN link, in each direction. */
const DELAY_MS = 20;
/** There and back between the two households. */
const ROUND_TRIP_MS = 4 * DELAY_MS;

/** The class that a node of a household finds. */
const CLASSES: Readonly<Record<Home, string>> = {
  none: "open",
  mapped: "open",
  "full-cone": "cone",
  "addr-restricted": "cone",
  "port-restricted": "cone",
  "port-preserving": "cone",
  symmetric: "symmetric",
};

/** How the tables name what a household has. */
const NAMES: Readonly<Record<Home, string>> = {
  none: "no NAT",
  mapped: "mapped port",
  "full-cone": "full cone",
  "addr-restricted": "address-restricted",
  "port-restricted": "port-restricted",
  "port-preserving": "port-preserving",
  symmetric: "symmetric",
};

/** Homes that let in only what has been sent to: a symmetric NAT's random port has to be guessed there. */
const CLOSED: readonly Home[] = ["port-restricted", "port-preserving"];

/** Whether the ways of two households are found by chance, with 92 of 100. */
function isSearched(here: Home, there: Home): boolean {
  return (here === "symmetric" && CLOSED.includes(there)) || (there === "symmetric" && CLOSED.includes(here));
}

function expectedPath(here: Home, there: Home): string {
  if (here === "symmetric") return there === "symmetric" ? "relayed" : "punched";
  if (there === "none" || there === "mapped") return "direct";
  // An address that was seen leads there for everybody.
  if (there === "full-cone" && (here === "none" || here === "mapped")) return "direct";
  return "punched";
}

describe.skipIf(whyUnavailable() !== undefined)("between real routers", () => {
  let world: NatWorld;
  const measured = new Map<string, Meeting>();

  beforeAll(async () => {
    world = await NatWorld.create({ delayMs: DELAY_MS });
  });

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  it.each(HOMES)("a node at home with '%s' learns its class and address", async (home) => {
    await world.home("a", home);
    const mesh = await world.open("a");
    expect(mesh.standing.natType).toBe(CLASSES[home]);
    const host = home === "none" ? HOUSEHOLDS.a.host : world.lab.publicAddress("a");
    expect(mesh.standing.reflexAddress?.split(":")[0]).toBe(host);
    expect(mesh.standing.mapped).toBe(home === "mapped" ? `${host}:7000` : null);
    await world.close(mesh);
  });

  it("a port is mapped within three seconds of the start", async () => {
    await world.home("a", "mapped");
    const mesh = await world.open("a");
    expect(mesh.standing.mappedMs).toBeLessThan(3_000);
    await world.close(mesh);
  });

  it("a start does not wait for a router that maps nothing", async () => {
    await world.home("a", "port-preserving");
    const mesh = await world.open("a", { portMapping: true });
    // Asking in vain takes three seconds.
    expect(mesh.standing.openMs).toBeLessThan(1_000);
    expect(mesh.standing.natType).toBe("cone");
    await world.close(mesh);
  });

  describe.each(HOMES)("from '%s'", (here) => {
    it.each(HOMES)("to '%s'", async (there) => {
      await Promise.all([world.home("a", here), world.home("b", there)]);
      const expected = expectedPath(here, there);
      // A search that finds nothing is repeated half a minute later; here by a fresh pair at once.
      for (let tries = isSearched(here, there) ? 3 : 1; ; tries--) {
        await world.renewRelays();
        const [a, b] = await Promise.all([world.open("a"), world.open("b")]);
        const meeting = await world.reach(a, b);
        const isRelayed = expected === "relayed";
        const paths = await world.paths(a, b, (path) => (path === "relayed") === isRelayed);
        await world.close(a, b);
        if (tries > 1 && meeting.reason === "nothing-heard") continue;
        expect([meeting.path, ...paths]).toEqual([expected, expected, isRelayed ? expected : paths[1]]);
        expect(paths[1] === "relayed").toBe(isRelayed);
        measured.set(`${here} ${there}`, meeting);
        return;
      }
    });
  });

  it("the first byte takes the handshake and two round trips at most", () => {
    const firsts = [...measured.values()].map(({ firstByteMs }) => firstByteMs);
    expect(firsts).toHaveLength(HOMES.length ** 2);
    expect(median(firsts)).toBeLessThanOrEqual(3 * ROUND_TRIP_MS);
  });

  it("a direct path is there within a second of the introduction, where no port has to be searched", () => {
    const times = HOMES.flatMap((here) =>
      HOMES.flatMap((there) => {
        const sinceMs = measured.get(`${here} ${there}`)?.sinceIntroductionMs;
        return sinceMs === undefined || isSearched(here, there) ? [] : [sinceMs];
      }),
    );
    expect(times.length).toBeGreaterThan(20);
    expect(median(times)).toBeLessThanOrEqual(1_000);
  });

  it("what was measured is in the documentation where that was asked for", () => {
    const cell = (here: Home, there: Home): string => {
      const { path, firstByteMs, startMs, endMs } = measured.get(`${here} ${there}`) as Meeting;
      const name = path === "direct" && there === "mapped" ? "mapped" : path;
      const directMs = path === "relayed" ? "" : ` / ${duration(endMs - startMs)}`;
      return `${name}, ${duration(firstByteMs)}${directMs}`;
    };
    const rows = HOMES.map((here) => [NAMES[here], ...HOMES.map((there) => cell(here, there))]);
    publish("pairs", table([["from \\ to", ...HOMES.map((there) => NAMES[there])], ...rows]));
  });
});
