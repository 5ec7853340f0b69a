import type { AnnouncedCapabilities } from "@netmesh/wire";
import type { CapabilitySet, Gpu, Hardware, Limits, Model, Software, Tool } from "./capabilities.ts";

/** What names of runtimes, frameworks and drivers may not contain, or they would not read back as they were. */
const NO_NAME = /[=:.]/;

/** Whether tags can carry a runtime, framework or driver of that name. */
export function isTaggable(name: string): boolean {
  return name !== "" && !NO_NAME.test(name);
}

/** Text of the metadata key of a tool's schema. */
export function schemaKey(toolId: string, kind: "input" | "output"): string {
  return `tool::${toolId}::${kind}_schema`;
}

/** Tags and metadata of a capability set (spec/mesh.md §10.2). What tags have no room for is left out. */
export function toAnnounced(set: CapabilitySet): AnnouncedCapabilities {
  const writer = new TagWriter();
  if (set.hardware !== undefined) writeHardware(writer, set.hardware);
  if (set.limits !== undefined) writeLimits(writer, set.limits);
  if (set.software !== undefined) writeSoftware(writer, set.software);
  const metadata = new Map(Object.entries(set.metadata ?? {}));
  for (const [i, model] of (set.models ?? []).entries()) writeModel(writer, `software.model.${i}.`, model);
  for (const [i, tool] of (set.tools ?? []).entries()) {
    writeTool(writer, `software.tool.${i}.`, tool);
    if (tool.inputSchema) metadata.set(schemaKey(tool.id, "input"), tool.inputSchema);
    if (tool.outputSchema) metadata.set(schemaKey(tool.id, "output"), tool.outputSchema);
  }
  return { tags: [...writer.tags, ...(set.tags ?? [])], metadata };
}

class TagWriter {
  readonly tags: string[] = [];

  /** A number that is not 0, without decimals. */
  count(key: string, value: number | undefined): void {
    if (value !== undefined && value > 0) this.tags.push(`${key}=${Math.trunc(value)}`);
  }

  /** Text that is not empty. */
  text(key: string, value: string | undefined): void {
    if (value !== undefined && value !== "") this.tags.push(`${key}=${value}`);
  }

  versions(key: string, versions: Readonly<Record<string, string>> | undefined): void {
    for (const [name, version] of Object.entries(versions ?? {})) {
      if (isTaggable(name)) this.tags.push(`${key}.${name}=${version}`);
    }
  }
}

function writeHardware(
  writer: TagWriter,
  hardware: Partial<Omit<Hardware, "gpu">> & { gpu?: Partial<Gpu> },
): void {
  writer.count("hardware.cpu_cores", hardware.cpuCores);
  writer.count("hardware.cpu_threads", hardware.cpuThreads);
  writer.count("hardware.memory_gb", hardware.memoryGb);
  writer.count("hardware.storage_gb", hardware.storageGb);
  writer.count("hardware.network_gbps", hardware.networkGbps);
  const { gpu } = hardware;
  if (gpu === undefined) return;
  writer.tags.push("hardware.gpu");
  if (gpu.vendor !== "unknown") writer.text("hardware.gpu.vendor", gpu.vendor);
  writer.text("hardware.gpu.model", gpu.model);
  writer.count("hardware.gpu.vram_gb", gpu.vramGb);
  writer.count("hardware.gpu.compute_units", gpu.computeUnits);
  writer.count("hardware.gpu.tensor_cores", gpu.tensorCores);
  writer.count("hardware.gpu.fp16_tflops_x10", tenfold(gpu.fp16Tflops));
}

function writeLimits(writer: TagWriter, limits: Partial<Limits>): void {
  writer.count("hardware.limits.max_concurrent_requests", limits.maxConcurrentRequests);
  writer.count("hardware.limits.max_tokens_per_request", limits.maxTokensPerRequest);
  writer.count("hardware.limits.rate_limit_rpm", limits.rateLimitRpm);
  writer.count("hardware.limits.max_batch_size", limits.maxBatchSize);
  writer.count("hardware.limits.max_input_bytes", limits.maxInputBytes);
  writer.count("hardware.limits.max_output_bytes", limits.maxOutputBytes);
}

function writeSoftware(writer: TagWriter, software: Partial<Software>): void {
  writer.text("software.os", software.os);
  writer.text("software.os_version", software.osVersion);
  writer.versions("software.runtime", software.runtimes);
  writer.versions("software.framework", software.frameworks);
  writer.text("software.cuda_version", software.cudaVersion);
  writer.versions("software.driver", software.drivers);
}

function writeModel(writer: TagWriter, prefix: string, model: Partial<Model>): void {
  writer.text(`${prefix}id`, model.id);
  writer.text(`${prefix}family`, model.family);
  writer.count(`${prefix}parameters_b_x10`, tenfold(model.parametersB));
  writer.count(`${prefix}context_length`, model.contextLength);
  writer.text(`${prefix}quantization`, model.quantization);
  writer.text(`${prefix}modalities`, model.modalities?.join(","));
  writer.count(`${prefix}tokens_per_sec`, model.tokensPerSecond);
  if (model.loaded === true) writer.tags.push(`${prefix}loaded=true`);
}

function writeTool(writer: TagWriter, prefix: string, tool: Partial<Tool>): void {
  writer.text(`${prefix}tool_id`, tool.id);
  writer.text(`${prefix}name`, tool.name);
  writer.text(`${prefix}version`, tool.version);
  writer.text(`${prefix}requires`, tool.requires?.join(","));
  writer.count(`${prefix}estimated_time_ms`, tool.estimatedTimeMs);
  writer.tags.push(`${prefix}stateless=${tool.stateless === true}`);
}

function tenfold(value: number | undefined): number | undefined {
  return value === undefined ? undefined : Math.round(value * 10);
}
