import {
  HOUSEHOLDS,
  MESH_PORT,
  type NatKind,
  NatLab,
  PINNED_PORT,
  PUBLIC_HOSTS,
  whyUnavailable,
} from "@netmesh/nat-lab";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { AgentProcess } from "./agent-process.ts";

const one = PUBLIC_HOSTS["public-1"];
const two = PUBLIC_HOSTS["public-2"];
const PORT = 3478;
const OTHER_PORT = 3479;

describe.skipIf(whyUnavailable() !== undefined)("the laboratory", () => {
  let lab: NatLab;

  beforeEach(() => {
    lab = NatLab.create();
  });

  afterEach(async () => {
    await lab[Symbol.asyncDispose]();
  });

  it.each<[NatKind, number | "random" | "routed", readonly string[]]>([
    ["none", "routed", ["other host", "other port"]],
    ["port-preserving", MESH_PORT, []],
    ["port-restricted", PINNED_PORT, []],
    ["addr-restricted", PINNED_PORT, ["other port"]],
    ["full-cone", PINNED_PORT, ["other host", "other port"]],
    ["symmetric", "random", []],
  ])("has a router of the kind %s, with the port %s outside, that lets in %j", async (kind, port, letIn) => {
    lab.nat("a", kind);
    const home = await AgentProcess.start(lab, "home-a", MESH_PORT);
    const first = await AgentProcess.start(lab, "public-1", PORT, OTHER_PORT);
    const second = await AgentProcess.start(lab, "public-2", PORT);

    await home.send("hello", one, PORT, MESH_PORT);
    const seen = await first.got("hello");
    await second.send("other host", seen.host, seen.port, PORT);
    await first.send("other port", seen.host, seen.port, OTHER_PORT);
    await first.send("answer", seen.host, seen.port, PORT);
    await home.got("answer");
    for (const text of letIn) await home.got(text);
    expect(home.texts.filter((text) => text !== "answer").sort()).toEqual([...letIn].sort());

    await home.send("hello too", two, PORT, MESH_PORT);
    const seenBySecond = await second.got("hello too");
    if (port === "random") expect(seenBySecond.port).not.toBe(seen.port);
    else if (port === "routed") expect([seen.host, seen.port]).toEqual([HOUSEHOLDS.a.host, MESH_PORT]);
    else expect([seen.port, seenBySecond.port]).toEqual([port, port]);
  });

  it("connects the households with each other", async () => {
    lab.nat("a", "full-cone");
    const [a, b] = [
      await AgentProcess.start(lab, "home-a", MESH_PORT),
      await AgentProcess.start(lab, "home-b", MESH_PORT),
    ];
    await b.send("from b", lab.publicAddress("a"), PINNED_PORT, MESH_PORT);
    expect((await a.got("from b")).host).toBe(lab.publicAddress("b"));
  });

  it("hides a household behind a carrier, and shows it again", async () => {
    const first = await AgentProcess.start(lab, "public-1", PORT);
    const home = await AgentProcess.start(lab, "home-a", MESH_PORT);
    lab.carrierNat("a", true);
    await home.send("behind", one, PORT, MESH_PORT);
    expect((await first.got("behind")).port).not.toBe(MESH_PORT);
    lab.carrierNat("a", false);
    await home.send("before", one, PORT, MESH_PORT);
    expect(await first.got("before")).toMatchObject({ host: lab.publicAddress("a"), port: MESH_PORT });
  });

  it("loses what it is told to lose", async () => {
    const first = await AgentProcess.start(lab, "public-1", PORT);
    const home = await AgentProcess.start(lab, "home-a", MESH_PORT);
    lab.loss(50);
    for (let index = 0; index < 100; index += 1) await home.send(`try ${index}`, one, PORT, MESH_PORT);
    lab.loss(0);
    await home.send("end", one, PORT, MESH_PORT);
    await first.got("end");
    expect(first.texts.length).toBeGreaterThan(20);
    expect(first.texts.length).toBeLessThan(80);
  });

  it("delays a household by what it is told, each way", async () => {
    await lab.delay("a", { delayMs: 150 });
    const first = await AgentProcess.start(lab, "public-1", PORT);
    const home = await AgentProcess.start(lab, "home-a", MESH_PORT);
    const startMs = performance.now();
    await home.send("ping", one, PORT, MESH_PORT);
    const { host, port } = await first.got("ping");
    await first.send("pong", host, port, PORT);
    await home.got("pong");
    expect(performance.now() - startMs).toBeGreaterThan(299);
    await lab.delay("a", undefined);
    await home.send("at once", one, PORT, MESH_PORT);
    expect((await first.got("at once")).port).toBe(MESH_PORT);
  });

  it("leaves nothing behind", async () => {
    const name = lab.namespace("home-a");
    await lab[Symbol.asyncDispose]();
    expect(() => lab.run("home-a", "true")).toThrow(name);
  });
});
