import { MESH_PORT, whyUnavailable } from "@netmesh/nat-lab";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Home, NatWorld } from "./nat-world.ts";

describe.skipIf(whyUnavailable() !== undefined)("a node behind two NATs", () => {
  let world: NatWorld;

  beforeAll(async () => {
    world = await NatWorld.create();
    world.lab.carrierNat("a", true);
  });

  afterAll(async () => {
    await world?.[Symbol.asyncDispose]();
  });

  it("finds the outer one, which is symmetric", async () => {
    const mesh = await world.open("a");
    expect(mesh.standing).toMatchObject({ natType: "symmetric", mapped: null });
    expect(mesh.standing.reflexAddress?.split(":")[0]).toBe(world.lab.publicAddress("a"));
    await world.close(mesh);
  });

  it.each<[Home, string]>([
    ["none", "punched"],
    ["mapped", "punched"],
    ["full-cone", "punched"],
    ["addr-restricted", "punched"],
    ["symmetric", "relayed"],
  ])("reaches a node with '%s': %s", async (there, expected) => {
    await world.home("b", there);
    const [a, b] = await Promise.all([world.open("a"), world.open("b")]);
    expect((await world.reach(a, b)).path).toBe(expected);
    const paths = await world.paths(a, b, (path) => (path === "relayed") === (expected === "relayed"));
    expect(paths[0]).toBe(expected);
    await world.close(a, b);
  });

  it("reaches a port-preserving NAT by searching its own ports", { retry: 2 }, async () => {
    await world.home("b", "port-preserving");
    const [a, b] = await Promise.all([world.open("a"), world.open("b")]);
    const { path } = await world.reach(a, b);
    await world.close(a, b);
    expect(path).toBe("punched");
  });

  it("reaches a node of its own household without leaving it, though neither could punch", async () => {
    const [a, b] = await Promise.all([world.open("a"), world.open("a", { port: MESH_PORT + 1 })]);
    await world.reach(a, b);
    expect(await world.paths(a, b, (path) => path === "direct")).toEqual(["direct", "direct"]);
    await world.close(a, b);
  });
});
