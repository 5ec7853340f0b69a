import { describe, expect, it } from "vitest";
import {
  type CapabilityFilter,
  matchesFilter,
  type NodeCapabilities,
  type PlacementCandidate,
  type PlacementDirectory,
  requirementScore,
  Scheduler,
  type StandardPlacementAxes,
  standardPlacement,
} from "../src/index.ts";
import { codeOf } from "./support/daemons.ts";

const TARGET = "subprotocol:0x0500";
const GPU: CapabilityFilter = { requireGpu: true };
const WITH_GPU: NodeCapabilities = { gpu: { vendor: "nvidia", vramGb: 24 }, tags: [TARGET] };

function scheduler(local: NodeCapabilities, ...candidates: PlacementCandidate[]): Scheduler {
  const directory: PlacementDirectory = {
    nodeId: 5n,
    localCapabilities: () => local,
    candidates: () => candidates,
  };
  return new Scheduler(directory);
}

function node(nodeId: bigint, capabilities: NodeCapabilities = WITH_GPU, rttMs?: number): PlacementCandidate {
  return { nodeId, capabilities, ...(rttMs === undefined ? {} : { rttMs }) };
}

describe("where a daemon goes", () => {
  it("stays here if this node matches", () => {
    expect(scheduler(WITH_GPU, node(1n)).place(GPU)).toEqual({ nodeId: 5n, reason: "local-preferred" });
  });

  it("goes to the only other node that matches", () => {
    const nodes = [node(9n), node(1n, {})];
    expect(scheduler({}, ...nodes).place(GPU)).toEqual({ nodeId: 9n, reason: "only-candidate" });
  });

  it("goes to the lowest id of several", () => {
    const nodes = [node(9n), node(3n), node(7n)];
    expect(scheduler({}, ...nodes).place(GPU)).toEqual({ nodeId: 3n, reason: "first-match" });
  });

  it("goes nowhere when no node matches", async () => {
    expect(await codeOf(() => scheduler({}, node(1n, {})).place(GPU))).toBe("no-target-available");
  });

  it("goes anywhere when nothing is required", () => {
    expect(scheduler({}).place()).toEqual({ nodeId: 5n, reason: "local-preferred" });
  });

  it("goes to no drained node, not even this one", async () => {
    const drained = new Set([5n, 3n]);
    const among = scheduler(WITH_GPU, node(3n), node(9n));
    expect(among.placeWithLocality(GPU, drained)).toEqual({ nodeId: 9n, reason: "only-candidate" });
    const alone = scheduler(WITH_GPU);
    expect(await codeOf(() => alone.placeWithLocality({}, drained))).toBe("no-target-available");
  });

  it("goes where it is pinned, whatever that node offers", () => {
    expect(scheduler({}).pin(77n)).toEqual({ nodeId: 77n, reason: "pinned" });
  });

  it("a node listed twice counts once, and this node is no candidate of its own", () => {
    const among = scheduler(WITH_GPU, node(9n), node(9n), node(5n));
    expect(among.matchingNodes(GPU)).toEqual([5n, 9n]);
    expect(among.placeWithLocality(GPU, new Set([5n])).reason).toBe("only-candidate");
  });
});

describe("where a daemon can move", () => {
  it("only to nodes that take daemons in, and not to where it is", () => {
    const among = scheduler({}, node(9n), node(3n, { ...WITH_GPU, tags: [] }), node(7n), node(1n));
    expect(among.findMigrationTargets(GPU, 7n)).toEqual([1n, 9n]);
  });

  it("here, if this node has what it requires", () => {
    const daemon = { requirements: GPU, requiredCapabilities: ["zone=a"] };
    const here = scheduler({ ...WITH_GPU, tags: ["zone:a"] }, node(9n));
    expect(here.placeMigration(daemon, 9n)).toEqual({ nodeId: 5n, reason: "local-preferred" });
  });

  it("not here when it comes from here, nor where a required tag is missing", async () => {
    const daemon = { requiredCapabilities: ["zone=a"] };
    const tagged = { tags: [TARGET, "zone=a"] };
    const among = scheduler({ tags: ["zone=a"] }, node(1n), node(9n, tagged));
    expect(among.placeMigration(daemon, 5n)).toEqual({ nodeId: 9n, reason: "best-score" });
    const nowhere = scheduler({ tags: ["zone=a"] }, node(1n));
    expect(await codeOf(() => nowhere.placeMigration(daemon, 5n))).toBe("no-target-available");
  });

  it("where most of its optional capabilities are", () => {
    const daemon = { optionalCapabilities: ["fast", "near"] };
    const among = scheduler({}, node(1n, { tags: [TARGET] }), node(9n, { tags: [TARGET, "near"] }));
    expect(among.placeMigration(daemon, 5n).nodeId).toBe(9n);
  });

  it.each<[string, readonly number[], bigint]>([
    ["the highest score wins", [1, 3, 2], 2n],
    ["a score that is no number rules a node out", [Number.NaN, 1, 0.5], 2n],
    ["an infinite score rules a node out", [Number.POSITIVE_INFINITY, 0.5, 1], 3n],
    ["of equals the lowest id", [1, 1, 1], 1n],
  ])("%s", (_, scores, winner) => {
    const among = scheduler({}, node(3n), node(2n), node(1n));
    const decision = among.placeMigration({}, 5n, ({ nodeId }) => scores[Number(nodeId) - 1] as number);
    expect(decision).toEqual({ nodeId: winner, reason: "best-score" });
  });

  it("of equals to the nearest, and sooner to one of known distance", () => {
    const even = (): number => 1;
    const among = scheduler({}, node(1n), node(2n, WITH_GPU, 30), node(3n, WITH_GPU, 20));
    expect(among.placeMigration({}, 5n, even).nodeId).toBe(3n);
    const nonsense = scheduler({}, node(1n, WITH_GPU, Number.NaN), node(2n, WITH_GPU, 30));
    expect(nonsense.placeMigration({}, 5n, even).nodeId).toBe(2n);
  });

  it("of equally near ones to the one with more free resources", () => {
    const free = { ...node(9n), freeResources: 8 };
    expect(scheduler({}, node(1n), free).placeMigration({}, 5n).nodeId).toBe(9n);
  });

  it("nowhere when every node scores zero", async () => {
    const among = scheduler({}, node(1n));
    expect(await codeOf(() => among.placeMigration({}, 5n, () => 0))).toBe("no-target-available");
  });
});

describe("what a node must have", () => {
  const full: NodeCapabilities = {
    tags: ["software.os=linux", "zone:a"],
    memoryGb: 64,
    gpu: { vendor: "amd", vramGb: 16 },
    models: [
      { id: "small", contextLength: 4096, modalities: ["text"] },
      { id: "eyes", contextLength: 8192, modalities: ["image"] },
    ],
    tools: ["grep"],
  };
  it.each<[CapabilityFilter, boolean]>([
    [{}, true],
    [{ requireTags: ["software.os:linux", "zone=a"] }, true],
    [{ requireTags: ["zone=a", "zone=b"] }, false],
    [{ requireModels: ["none", "small"] }, true],
    [{ requireModels: ["none"] }, false],
    [{ requireModels: [] }, true],
    [{ requireTools: ["grep", "sed"] }, true],
    [{ requireTools: ["sed"] }, false],
    [{ minMemoryGb: 64 }, true],
    [{ minMemoryGb: 65 }, false],
    [{ requireGpu: true }, true],
    [{ gpuVendor: "amd" }, true],
    [{ gpuVendor: "nvidia" }, false],
    [{ minVramGb: 16 }, true],
    [{ minVramGb: 17 }, false],
    [{ minContextLength: 8192 }, true],
    [{ minContextLength: 8193 }, false],
    [{ requireModalities: ["text", "image"] }, true],
    [{ requireModalities: ["text", "audio"] }, false],
  ])("%o on a full node: %s", (filter, fits) => {
    expect(matchesFilter(filter, full)).toBe(fits);
  });

  it.each<CapabilityFilter>([
    { requireTags: ["x"] },
    { requireModels: ["x"] },
    { requireTools: ["x"] },
    { minMemoryGb: 1 },
    { requireGpu: true },
    { gpuVendor: "amd" },
    { minVramGb: 1 },
    { minContextLength: 1 },
    { requireModalities: ["text"] },
  ])("%o on a node of which nothing is known: no", (filter) => {
    expect(matchesFilter(filter, {})).toBe(false);
  });

  it("a GPU may only be tagged", () => {
    expect(matchesFilter(GPU, { tags: ["hardware.gpu"] })).toBe(true);
    expect(matchesFilter({ requireModalities: ["text"] }, { models: [{ id: "mute" }] })).toBe(false);
  });
});

describe("scores", () => {
  it("what does not match scores zero, what matches at least one", () => {
    expect(requirementScore({ filter: GPU }, {})).toBe(0);
    expect(requirementScore({ filter: GPU }, WITH_GPU)).toBe(1);
    expect(requirementScore({ memoryWeight: 1, vramWeight: 1, speedWeight: 1, loadedWeight: 1 }, {})).toBe(1);
  });

  it("memory, video memory, speed and loaded models count by their weights, up to their limits", () => {
    const node: NodeCapabilities = {
      memoryGb: 128,
      gpu: { vramGb: 160 },
      models: [
        { id: "a", tokensPerSecond: 250, isLoaded: true },
        { id: "b", tokensPerSecond: 100 },
      ],
    };
    expect(requirementScore({ memoryWeight: 1 }, node)).toBe(1.5);
    expect(requirementScore({ vramWeight: 0.5 }, node)).toBe(1.5);
    expect(requirementScore({ speedWeight: 1 }, node)).toBe(1.25);
    expect(requirementScore({ loadedWeight: 1 }, node)).toBe(1.5);
    expect(requirementScore({ memoryWeight: 7, vramWeight: -1, speedWeight: Number.NaN }, node)).toBe(1.5);
  });

  const rich: NodeCapabilities = {
    tags: ["scope:a", "devices.camera"],
    cpuCores: 8,
    memoryGb: 48,
    storageGb: 1000,
    gpu: { vramGb: 24 },
    models: [{ id: "m" }],
  };
  it.each<[string, StandardPlacementAxes, number]>([
    ["nothing asked", {}, 1],
    ["filter met", { filter: GPU }, 1],
    ["filter not met", { filter: { minMemoryGb: 64 } }, 0],
    ["any scope", { scopes: ["scope:b", "scope:a"] }, 1],
    ["no scope", { scopes: ["scope:b"] }, 0],
    ["half as far as allowed", { maxRttMs: 40 }, 0.5],
    ["too far", { maxRttMs: 10 }, 0],
    ["any intent", { intent: { mode: "any", intents: ["cpu-bound", "ml-training"] } }, 1],
    [
      "all intents",
      {
        intent: {
          mode: "strict",
          intents: ["ml-training", "inference", "cpu-bound", "sensor-telemetry"],
        },
      },
      1,
    ],
    ["companion there", { colocation: { mode: "soft", tags: ["scope=a"] } }, 1],
    ["companion missing", { colocation: { mode: "soft", tags: ["db"] } }, 0.7],
    ["companion must be there", { colocation: { mode: "strict", tags: ["db"] } }, 0],
    ["resources", { resources: ["cpuCores", "memoryGb", "vramGb", "storageGb"] }, 0.5 * 0.75 * 0.6 * 0.5],
    ["few of its kind", { shareOn: () => 0.3 }, 1],
    ["many of its kind", { shareOn: () => 0.31 }, 0.4],
    ["a share that is no number", { shareOn: () => Number.NaN }, 0],
    ["one's own axis", { custom: () => 0.25 }, 0.25],
    ["one's own veto", { custom: () => undefined }, 0],
    ["an axis that is no number", { custom: () => Number.NaN }, 0],
    ["product", { maxRttMs: 40, custom: () => 0.5, colocation: { mode: "soft", tags: ["db"] } }, 0.175],
  ])("standard placement, %s", (_, axes, score) => {
    expect(standardPlacement(axes)(node(1n, rich, 20))).toBeCloseTo(score, 10);
  });

  it("a node of which nothing is known suits no intent, and scores nothing for resources", () => {
    for (const name of ["ml-training", "inference", "cpu-bound", "sensor-telemetry"] as const) {
      expect(standardPlacement({ intent: { mode: "any", intents: [name] } })(node(1n, {}))).toBe(0);
    }
    expect(standardPlacement({ resources: ["memoryGb"] })(node(1n, {}))).toBe(0);
    expect(standardPlacement({ resources: ["vramGb"] })(node(1n, {}))).toBe(0);
    expect(standardPlacement({ maxRttMs: 40 })(node(1n, {}))).toBe(0.5);
    const gpuOnly = node(1n, { tags: ["hardware.gpu"] });
    expect(
      standardPlacement({ intent: { mode: "any", intents: ["ml-training", "inference"] } })(gpuOnly),
    ).toBe(0);
  });
});
