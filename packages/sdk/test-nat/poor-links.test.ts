import { whyUnavailable } from "@netmesh/nat-lab";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { duration, publish, table } from "./measured-document.ts";
import { type Home, NatWorld } from "./nat-world.ts";

const DELAY_MS = 100;
/** There and back between the two households. */
const ROUND_TRIP_MS = 4 * DELAY_MS;
const LOSS_PERCENT = 5;

describe.skipIf(whyUnavailable() !== undefined)("links with a delay of 100 ms", () => {
  let world: NatWorld;
  const rows: string[][] = [];

  beforeAll(async () => {
    world = await NatWorld.create({ delayMs: DELAY_MS });
  });

  beforeEach(async () => {
    world.lab.loss(0);
    await world.renewRelays();
  });

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
    publish("poor links", table([["from \\ to, loss", "path", "first byte", "direct path"], ...rows]));
  });

  async function meet(here: Home, there: Home, loss: number) {
    await Promise.all([world.home("a", here), world.home("b", there)]);
    world.lab.loss(loss);
    const [a, b] = await Promise.all([world.open("a"), world.open("b")]);
    const meeting = await world.reach(a, b);
    await world.close(a, b);
    const { path, firstByteMs, startMs, endMs } = meeting;
    rows.push([
      `${here} \\ ${there}, ${loss} %`,
      path,
      duration(firstByteMs),
      path === "relayed" ? "" : duration(endMs - startMs),
    ]);
    return meeting;
  }

  it("carry the first byte after the handshake and two round trips at most", async () => {
    const { firstByteMs, path, sinceIntroductionMs } = await meet("port-restricted", "port-preserving", 0);
    expect(path).toBe("punched");
    expect(firstByteMs).toBeLessThanOrEqual(3 * ROUND_TRIP_MS);
    expect(sinceIntroductionMs).toBeLessThanOrEqual(1_000 + ROUND_TRIP_MS);
  });

  it.each<[Home, Home]>([
    ["port-restricted", "port-restricted"],
    ["port-preserving", "full-cone"],
    ["symmetric", "addr-restricted"],
    ["none", "symmetric"],
  ])("and 5 % of loss bring '%s' and '%s' together", async (here, there) => {
    expect(await meet(here, there, LOSS_PERCENT)).toMatchObject({ path: "punched", reason: "punched" });
  });

  it("and 5 % of loss lead to a mapped port", async () => {
    expect((await meet("port-preserving", "mapped", LOSS_PERCENT)).path).toBe("direct");
  });
});
