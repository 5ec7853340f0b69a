import type { AnnouncedCapabilities } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  type CapabilityFilter,
  CapabilityIndex,
  type CapabilitySet,
  type GpuVendor,
  IndexedNode,
  type Modality,
  readCapabilities,
  toAnnounced,
  validateCapabilities,
} from "../src/index.ts";
import { SeededRandom } from "../src/testing/index.ts";
import vectors from "./vectors/capability.json" with { type: "json" };

const ANY = () => true;

function announced(name: string) {
  const set = vectors.capability_set.find((vector) => vector.name === name);
  if (set === undefined) throw new Error(name);
  return { tags: set.tags_sorted, metadata: new Map(Object.entries(set.metadata as object)) };
}

function announcement(nodeId: bigint, version: bigint, capabilities: AnnouncedCapabilities) {
  const none = { allowedNodes: [], allowedSubnets: [], allowedGroups: [] };
  const entityId = new Uint8Array(32);
  return { nodeId, entityId, version, timestampNs: 0n, ttlSeconds: 1, capabilities, hopCount: 0, ...none };
}

function node(id: bigint, tags: readonly string[], generation = 1n, expiresMs = 1_000): IndexedNode {
  const capabilities = { tags, metadata: new Map<string, string>() };
  return new IndexedNode(announcement(id, generation, capabilities), capabilities, expiresMs);
}

const FULL: CapabilitySet = {
  hardware: {
    cpuCores: 16,
    cpuThreads: 32,
    memoryGb: 64,
    storageGb: 2_000,
    networkGbps: 10,
    gpu: {
      vendor: "nvidia",
      model: "RTX 4090",
      vramGb: 24,
      computeUnits: 128,
      tensorCores: 512,
      fp16Tflops: 82.5,
    },
  },
  limits: { maxConcurrentRequests: 10, maxTokensPerRequest: 4_096, rateLimitRpm: 60, maxBatchSize: 8 },
  software: {
    os: "linux",
    osVersion: "6.1",
    runtimes: { node: "20", python: "3.11" },
    frameworks: { pytorch: "2.1" },
    cudaVersion: "12.1",
  },
  models: [
    {
      id: "llama-3.1-70b",
      family: "llama",
      parametersB: 70,
      contextLength: 128_000,
      quantization: "fp16",
      modalities: ["text", "image"],
      tokensPerSecond: 50,
      loaded: true,
    },
  ],
  tools: [
    {
      id: "bash",
      name: "Bash",
      version: "1.2",
      requires: ["linux"],
      estimatedTimeMs: 100,
      stateless: true,
      inputSchema: '{"type":"object"}',
    },
  ],
  tags: ["gpu", "region-x"],
  metadata: { owner: "team-a", zeta: 'é"\\\n' },
};

describe("capabilities", () => {
  it("are written as the tags and metadata that the reference writes", () => {
    const { tags, metadata } = announced("everything");
    const own = toAnnounced(FULL);
    expect([...own.tags].sort()).toEqual(tags.filter((tag) => !tag.startsWith("scope:")));
    expect(new Map([...own.metadata].sort())).toEqual(metadata);
  });

  it("read as the reference reads them", () => {
    for (const { name, views } of vectors.capability_set) {
      const { hardware, software, models, tools, limits } = readCapabilities(announced(name));
      expect(hardware.cpuCores, name).toBe(views.hardware.cpu_cores);
      expect(hardware.cpuThreads, name).toBe(views.hardware.cpu_threads);
      expect(hardware.memoryGb, name).toBe(views.hardware.memory_gb);
      expect(hardware.storageGb, name).toBe(views.hardware.storage_gb);
      expect(hardware.networkGbps, name).toBe(views.hardware.network_gbps);
      const { gpu } = views.hardware;
      expect(hardware.gpu, name).toEqual(
        gpu === null
          ? undefined
          : {
              vendor: gpu.vendor.toLowerCase(),
              model: gpu.model,
              vramGb: gpu.vram_gb,
              computeUnits: gpu.compute_units,
              tensorCores: gpu.tensor_cores,
              fp16Tflops: gpu.fp16_tflops_x10 / 10,
            },
      );
      expect(software, name).toEqual({
        os: views.software.os,
        osVersion: views.software.os_version,
        runtimes: Object.fromEntries(views.software.runtimes),
        frameworks: Object.fromEntries(views.software.frameworks),
        cudaVersion: views.software.cuda_version ?? "",
        drivers: {},
      });
      expect(Object.values(limits), name).toEqual(Object.values(views.limits));
      expect(models, name).toEqual(
        views.models.map((model) => ({
          id: model.model_id,
          family: model.family,
          parametersB: model.parameters_b_x10 / 10,
          contextLength: model.context_length,
          quantization: model.quantization ?? "",
          modalities: model.modalities.map((modality) => modality.toLowerCase()),
          tokensPerSecond: model.tokens_per_sec,
          loaded: model.loaded,
        })),
      );
      expect(tools, name).toEqual(
        views.tools.map((tool) => ({
          id: tool.tool_id,
          name: tool.name,
          version: tool.version,
          requires: tool.requires,
          estimatedTimeMs: tool.estimated_time_ms,
          stateless: tool.stateless,
          inputSchema: tool.input_schema ?? "",
          outputSchema: tool.output_schema ?? "",
        })),
      );
    }
  });

  it("of a stranger read as absent where they make no sense", () => {
    const view = readCapabilities({
      tags: [
        "hardware.memory_gb=-5",
        "hardware.cpu_cores=1e3",
        "hardware.storage_gb=99999999999",
        "hardware.gpu",
        "hardware.gpu.vendor=acme",
        "software.runtime.__proto__=1",
        "software.model.99999999999999.id=x",
        "software.model.7.modalities=text,smell",
        "software.tool.x.name=y",
      ],
      metadata: new Map(),
    });
    expect([view.hardware.memoryGb, view.hardware.cpuCores, view.hardware.storageGb]).toEqual([0, 0, 0]);
    expect(view.hardware.gpu?.vendor).toBe("unknown");
    expect(Object.entries(view.software.runtimes)).toEqual([["__proto__", "1"]]);
    expect(view.models.map(({ modalities }) => modalities)).toEqual([["text"]]);
    expect(view.tools).toEqual([]);
  });
});

describe("validating capabilities", () => {
  it("finds nothing wrong with a full set", () => {
    const { owner: _, ...metadata } = FULL.metadata as Record<string, string>;
    expect(validateCapabilities({ ...FULL, metadata })).toEqual({ errors: [], warnings: [] });
  });

  it.each<[string, CapabilitySet, string]>([
    ["a negative number", { hardware: { memoryGb: -1 } }, "hardware.memoryGb"],
    ["a number above a u32", { limits: { maxInputBytes: 2 ** 32 } }, "limits.maxInputBytes"],
    ["no number", { models: [{ id: "m", contextLength: Number.NaN }] }, "models[0].contextLength"],
    ["an unknown vendor", { hardware: { gpu: { vendor: "acme" as GpuVendor } } }, "hardware.gpu.vendor"],
    [
      "an unknown modality",
      { models: [{ id: "m", modalities: ["smell" as Modality] }] },
      "models[0].modalities",
    ],
    ["a model without id", { models: [{ id: "" }] }, "models[0].id"],
    ["a tool without id", { tools: [{ id: "" }] }, "tools[0].id"],
    ["an empty tag", { tags: [""] }, "tags[0]"],
    ["a tag of the runtime", { tags: ["ok", "scope:global"] }, "tags[1]"],
    ["a tag without key", { tags: ["hardware.=1"] }, "tags[0]"],
    ["metadata that is no text", { metadata: { a: 1 as unknown as string } }, "metadata.a"],
    ["more than a packet takes", { metadata: { a: "x".repeat(8_000) } }, ""],
  ])("refuses %s", (_, set, at) => {
    expect(validateCapabilities(set).errors.map((issue) => issue.at)).toEqual([at]);
  });

  it.each<[string, CapabilitySet, string]>([
    ["a second GPU", { hardware: { additionalGpus: [{}] } }, "hardware.additionalGpus"],
    ["accelerators", { hardware: { accelerators: ["tpu"] } }, "hardware.accelerators"],
    ["decimals", { hardware: { memoryGb: 1.5 } }, "hardware.memoryGb"],
    ["a second decimal", { models: [{ id: "m", parametersB: 7.25 }] }, "models[0].parametersB"],
    ["a name that tags cannot carry", { software: { runtimes: { "a.b": "1" } } }, "software.runtimes"],
    ["a requirement that reads as two", { tools: [{ id: "t", requires: ["a,b"] }] }, "tools[0].requires"],
    ["metadata that others remove", { metadata: { priority: "1" } }, "metadata.priority"],
    ["metadata of tools", { metadata: { "tool::x": "1" } }, "metadata.tool::x"],
    ["much metadata", { metadata: { a: "x".repeat(4_096) } }, "metadata"],
  ])("warns of %s", (_, set, at) => {
    expect(validateCapabilities(set)).toMatchObject({ errors: [], warnings: [{ at }] });
  });

  it("says nothing of exactly 4096 bytes of metadata", () => {
    expect(validateCapabilities({ metadata: { a: "x".repeat(4_095) } }).warnings).toEqual([]);
  });
});

describe("the capability index", () => {
  it("finds what the reference's filter matches", () => {
    const names = ["text", "image", "audio", "video", "code", "embedding", "tool_use"];
    for (const { filter, filter_fields: fields, set, matches } of vectors.filter_matches) {
      const index = new CapabilityIndex(10);
      index.set(new IndexedNode(announcement(7n, 1n, announced(set)), announced(set), 1_000));
      const own: CapabilityFilter = {
        requireTags: fields.require_tags,
        requireModels: fields.require_models,
        requireTools: fields.require_tools,
        requireGpu: fields.require_gpu,
        requireModalities: fields.require_modalities.map(
          (name) => names.find((known) => known === name.toLowerCase()) as Modality,
        ),
        ...(fields.min_memory_gb === null ? {} : { minMemoryGb: fields.min_memory_gb }),
        ...(fields.min_vram_gb === null ? {} : { minVramGb: fields.min_vram_gb }),
        ...(fields.min_context_length === null ? {} : { minContextLength: fields.min_context_length }),
        ...(fields.gpu_vendor === null ? {} : { gpuVendor: fields.gpu_vendor === 1 ? "nvidia" : "amd" }),
      };
      expect(index.find(own, 0, ANY), `${filter} in ${set}`).toEqual(matches ? [7n] : []);
    }
  });

  it("finds ids in ascending order, and a tag with either separator", () => {
    const index = new CapabilityIndex(10);
    index.set(node(2n ** 63n, ["software.os=linux"]));
    index.set(node(3n, ["software.os:linux"]));
    index.set(node(2n, ["software.os=mac"]));
    expect(index.find({ requireTags: ["software.os:linux"] }, 0, ANY)).toEqual([3n, 2n ** 63n]);
    expect(index.find({}, 0, ({ nodeId }) => nodeId !== 3n)).toEqual([2n, 2n ** 63n]);
  });

  it("refuses a field that no filter has", () => {
    const filter = { minMemoryMb: 5 } as unknown as CapabilityFilter;
    expect(() => new CapabilityIndex(10).find(filter, 0, ANY)).toThrow(/minMemoryMb/);
  });

  it("replaces a node only by a greater generation", () => {
    const index = new CapabilityIndex(10);
    expect(index.set(node(1n, ["old"], 5n))).toBe(true);
    expect(index.set(node(1n, ["same"], 5n))).toBe(false);
    expect(index.set(node(1n, ["older"], 4n))).toBe(false);
    expect(index.find({ requireTags: ["old"] }, 0, ANY)).toEqual([1n]);
    expect(index.set(node(1n, ["new"], 6n))).toBe(true);
    expect(index.find({ requireTags: ["old"] }, 0, ANY)).toEqual([]);
    expect(index.find({ requireTags: ["new"] }, 0, ANY)).toEqual([1n]);
  });

  it("finds nothing that has expired, before the sweep and after", () => {
    const index = new CapabilityIndex(10);
    index.set(node(1n, ["a", "causal:0000000000000007"], 1n, 100));
    index.set(node(2n, ["a"], 1n, 200));
    expect(index.find({}, 99, ANY)).toEqual([1n, 2n]);
    expect(index.find({}, 100, ANY)).toEqual([2n]);
    expect(index.chainHolders(7n, 100)).toEqual([]);
    expect(index.nextExpiryMs).toBe(100);
    expect(index.sweep(150)).toBe(1);
    expect(index.size).toBe(1);
    expect(index.nextExpiryMs).toBe(200);
  });

  it("lets the node go that was refreshed longest ago when it is full", () => {
    const index = new CapabilityIndex(2);
    index.set(node(1n, ["a"]));
    index.set(node(2n, ["a"]));
    index.set(node(1n, ["a"], 2n));
    index.set(node(3n, ["a"]));
    expect(index.find({ requireTags: ["a"] }, 0, ANY)).toEqual([1n, 3n]);
    expect(index.evicted).toBe(1);
  });

  it("never lets its own node go, however many others come", () => {
    const index = new CapabilityIndex(2, 1n);
    for (const id of [1n, 2n, 3n, 4n]) index.set(node(id, ["a"]));
    expect(index.find({ requireTags: ["a"] }, 0, ANY)).toEqual([1n, 4n]);
    expect(index.evicted).toBe(2);
  });

  it("knows who holds a chain, by any tag about it", () => {
    const index = new CapabilityIndex(10);
    index.set(node(4n, ["causal:00000000000000ff:12"]));
    index.set(node(3n, ["causal:00000000000000ff[3..9]"]));
    index.set(node(2n, ["causal:00000000000000ff"]));
    index.set(node(1n, ["causal:00000000000000ff0", "heat:00000000000000ff=0.50", "causal:ff"]));
    expect(index.chainHolders(255n, 0)).toEqual([2n, 3n, 4n]);
  });

  it("prefers the highest score, and of equal ones the lowest id", () => {
    const index = new CapabilityIndex(10);
    index.set(node(1n, ["hardware.memory_gb=64"]));
    index.set(node(2n, ["hardware.memory_gb=256"]));
    index.set(node(3n, ["hardware.memory_gb=512"]));
    index.set(node(4n, ["software.model.0.id=m", "software.model.0.loaded=true"]));
    expect(index.best({ memoryWeight: 1 }, 0, ANY)).toBe(2n);
    expect(index.best({}, 0, ANY)).toBe(1n);
    expect(index.best({ loadedWeight: 2, memoryWeight: 1 }, 0, ANY)).toBe(4n);
    expect(index.best({ filter: { minMemoryGb: 1_000 } }, 0, ANY)).toBeUndefined();
  });

  it("answers as a look at every node would, whatever comes and goes", () => {
    const random = new SeededRandom(5);
    const below = (limit: number) => Math.floor(random.next() * limit);
    const index = new CapabilityIndex(60);
    const model = new Map<bigint, IndexedNode>();
    for (let step = 0; step < 3_000; step++) {
      const id = BigInt(below(80));
      if (below(5) === 0) {
        expect(index.delete(id)).toBe(model.delete(id));
        continue;
      }
      const tags = [`t${below(6)}`, `u${below(3)}`, `software.model.0.id=m${below(3)}`];
      const made = node(id, tags, BigInt(step + 1), 5_000);
      if (!model.has(id) && model.size === 60) model.delete(model.keys().next().value as bigint);
      model.delete(id);
      model.set(id, made);
      index.set(made);
      const filter = { requireTags: [`t${below(6)}`, `u${below(3)}`], requireModels: ["m0", `m${below(3)}`] };
      const expected = [...model.values()]
        .filter((known) => filter.requireTags.every((tag) => known.announced.tags.includes(tag)))
        .filter((known) => filter.requireModels.includes((known.announced.tags[2] as string).slice(20)))
        .map(({ nodeId }) => nodeId)
        .sort((a, b) => Number(a - b));
      expect(index.find(filter, 0, ANY)).toEqual(expected);
    }
  });
});
