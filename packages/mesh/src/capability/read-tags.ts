import { type AnnouncedCapabilities, parseTag } from "@netmesh/wire";
import {
  type Capabilities,
  GPU_VENDORS,
  type Gpu,
  type GpuVendor,
  MODALITIES,
  type Modality,
  type Model,
  type Tool,
} from "./capabilities.ts";
import { schemaKey } from "./write-tags.ts";

const MAX_U32 = 0xffff_ffff;
const RUNTIME = "runtime.";
const FRAMEWORK = "framework.";
const DRIVER = "driver.";
const MODEL = "model.";
const TOOL = "tool.";

/** The typed view of tags and metadata (spec/mesh.md §10.2). Values that cannot be read count as absent. */
export function readCapabilities({ tags, metadata }: AnnouncedCapabilities): Capabilities {
  const hardware = new Properties();
  const software = new Properties();
  for (const text of tags) {
    const tag = parseTag(text);
    if (tag?.kind !== "axis") continue;
    if (tag.axis === "hardware") hardware.set(tag.key, tag.value);
    else if (tag.axis === "software") software.set(tag.key, tag.value);
  }
  return {
    hardware: {
      cpuCores: hardware.count("cpu_cores"),
      cpuThreads: hardware.count("cpu_threads"),
      memoryGb: hardware.count("memory_gb"),
      storageGb: hardware.count("storage_gb"),
      networkGbps: hardware.count("network_gbps"),
      gpu: hardware.has("gpu") ? readGpu(hardware) : undefined,
    },
    limits: {
      maxConcurrentRequests: hardware.count("limits.max_concurrent_requests"),
      maxTokensPerRequest: hardware.count("limits.max_tokens_per_request"),
      rateLimitRpm: hardware.count("limits.rate_limit_rpm"),
      maxBatchSize: hardware.count("limits.max_batch_size"),
      maxInputBytes: hardware.count("limits.max_input_bytes"),
      maxOutputBytes: hardware.count("limits.max_output_bytes"),
    },
    software: {
      os: software.text("os"),
      osVersion: software.text("os_version"),
      runtimes: software.versions(RUNTIME),
      frameworks: software.versions(FRAMEWORK),
      cudaVersion: software.text("cuda_version"),
      drivers: software.versions(DRIVER),
    },
    models: software.indices(MODEL).map((i) => readModel(software, `${MODEL}${i}.`)),
    tools: software.indices(TOOL).map((i) => readTool(software, `${TOOL}${i}.`, metadata)),
  };
}

/** Keys and values of one axis; the first value of a key counts. */
class Properties {
  readonly #values = new Map<string, string | undefined>();

  set(key: string, value: string | undefined): void {
    if (!this.#values.has(key)) this.#values.set(key, value);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  text(key: string): string {
    return this.#values.get(key) ?? "";
  }

  count(key: string): number {
    const text = this.text(key);
    const value = /^\+?\d{1,10}$/.test(text) ? Number(text) : 0;
    return value <= MAX_U32 ? value : 0;
  }

  list(key: string): string[] {
    return this.text(key)
      .split(",")
      .filter((entry) => entry !== "");
  }

  /** The keys behind a prefix with their values. */
  versions(prefix: string): Readonly<Record<string, string>> {
    const entries: [string, string][] = [];
    for (const [key, value] of this.#values) {
      if (value !== undefined && key.startsWith(prefix)) entries.push([key.slice(prefix.length), value]);
    }
    // Not assigned one by one: a stranger may have chosen a name such as "__proto__".
    return Object.fromEntries(entries);
  }

  /** The numbers that follow a prefix, ascending. */
  indices(prefix: string): number[] {
    const found = new Set<number>();
    for (const key of this.#values.keys()) {
      const index = key.startsWith(prefix) ? /^(\d{1,10})\./.exec(key.slice(prefix.length))?.[1] : undefined;
      if (index !== undefined && Number(index) < MAX_U32) found.add(Number(index));
    }
    return [...found].sort((a, b) => a - b);
  }
}

function readGpu(hardware: Properties): Gpu {
  const vendor = hardware.text("gpu.vendor") as GpuVendor;
  return {
    vendor: GPU_VENDORS.includes(vendor) ? vendor : "unknown",
    model: hardware.text("gpu.model"),
    vramGb: hardware.count("gpu.vram_gb"),
    computeUnits: hardware.count("gpu.compute_units"),
    tensorCores: hardware.count("gpu.tensor_cores"),
    fp16Tflops: hardware.count("gpu.fp16_tflops_x10") / 10,
  };
}

function readModel(software: Properties, prefix: string): Model {
  const modalities = software.list(`${prefix}modalities`) as Modality[];
  return {
    id: software.text(`${prefix}id`),
    family: software.text(`${prefix}family`),
    parametersB: software.count(`${prefix}parameters_b_x10`) / 10,
    contextLength: software.count(`${prefix}context_length`),
    quantization: software.text(`${prefix}quantization`),
    modalities: modalities.filter((modality) => MODALITIES.includes(modality)),
    tokensPerSecond: software.count(`${prefix}tokens_per_sec`),
    loaded: software.text(`${prefix}loaded`) === "true",
  };
}

function readTool(software: Properties, prefix: string, metadata: ReadonlyMap<string, string>): Tool {
  const id = software.text(`${prefix}tool_id`);
  return {
    id,
    name: software.text(`${prefix}name`),
    version: software.text(`${prefix}version`),
    requires: software.list(`${prefix}requires`),
    estimatedTimeMs: software.count(`${prefix}estimated_time_ms`),
    stateless: software.text(`${prefix}stateless`) === "true",
    inputSchema: metadata.get(schemaKey(id, "input")) ?? "",
    outputSchema: metadata.get(schemaKey(id, "output")) ?? "",
  };
}
