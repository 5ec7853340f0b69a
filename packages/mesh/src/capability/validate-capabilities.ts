import { encodeCapabilityAnnouncement, parseTag, reservedPrefix } from "@netmesh/wire";
import { type CapabilitySet, GPU_VENDORS, MODALITIES } from "./capabilities.ts";
import { isTaggable, toAnnounced } from "./write-tags.ts";

/** Something about a capability set that its author should know. */
export interface CapabilityIssue {
  /** Which part, as a path such as `models[0].modalities`. */
  readonly at: string;
  readonly text: string;
}

/** What {@link validateCapabilities} found: valid without errors, clean without either. */
export interface CapabilityReport {
  /** Why it cannot be announced. */
  readonly errors: readonly CapabilityIssue[];
  /** What is lost or ignored on the way. */
  readonly warnings: readonly CapabilityIssue[];
}

/** Metadata that receivers remove, and a prefix that belongs to tools. */
const RESERVED_METADATA: ReadonlySet<string> = new Set([
  "intent",
  "colocate-with",
  "colocate-with-strict",
  "priority",
  "owner",
]);
const TOOL_METADATA = "tool::";
/** Bytes of metadata above which an announcement becomes a burden. */
const METADATA_SOFT_LIMIT = 4_096;
const MAX_U32 = 0xffff_ffff;
/** Bytes of the largest announcement: one event. */
export const MAX_ANNOUNCEMENT_BYTES = 8_104;

/** Checks a capability set: what cannot be announced, and what nodes that read it will not see. */
export function validateCapabilities(set: CapabilitySet): CapabilityReport {
  const report = new Report();
  checkNumbers(report, "hardware", set.hardware);
  checkNumbers(report, "hardware.gpu", set.hardware?.gpu);
  checkNumbers(report, "limits", set.limits);
  checkHardware(report, set);
  for (const kind of ["runtimes", "frameworks", "drivers"] as const) {
    for (const name of Object.keys(set.software?.[kind] ?? {})) {
      if (!isTaggable(name))
        report.warn(`software.${kind}`, `the name ${JSON.stringify(name)} is not announced`);
    }
  }
  for (const [i, model] of (set.models ?? []).entries()) {
    checkNumbers(report, `models[${i}]`, model);
    if (model.id === "") report.fail(`models[${i}].id`, "a model has an id");
    for (const modality of model.modalities ?? []) {
      if (!MODALITIES.includes(modality)) report.fail(`models[${i}].modalities`, `${modality} is none`);
    }
  }
  for (const [i, tool] of (set.tools ?? []).entries()) {
    checkNumbers(report, `tools[${i}]`, tool);
    if (tool.id === "") report.fail(`tools[${i}].id`, "a tool has an id");
    for (const name of tool.requires ?? []) {
      if (name.includes(",")) report.warn(`tools[${i}].requires`, `${JSON.stringify(name)} reads as several`);
    }
  }
  checkTags(report, set.tags ?? []);
  checkMetadata(report, set.metadata ?? {});
  checkSize(report, set);
  return report;
}

class Report implements CapabilityReport {
  readonly errors: CapabilityIssue[] = [];
  readonly warnings: CapabilityIssue[] = [];

  fail(at: string, text: string): void {
    this.errors.push({ at, text });
  }

  warn(at: string, text: string): void {
    this.warnings.push({ at, text });
  }
}

function checkNumbers(report: Report, at: string, values: object | undefined): void {
  for (const [name, value] of Object.entries(values ?? {})) {
    if (typeof value !== "number") continue;
    if (!(value >= 0 && value <= MAX_U32)) report.fail(`${at}.${name}`, `${value} is no u32`);
    else if (!Number.isInteger(value) && !isDecimal(name)) {
      report.warn(`${at}.${name}`, "decimals are not announced");
    } else if (isDecimal(name) && Math.abs(value * 10 - Math.round(value * 10)) > 1e-6) {
      report.warn(`${at}.${name}`, "only one decimal is announced");
    }
  }
}

/** Properties that travel in tenths. */
function isDecimal(name: string): boolean {
  return name === "fp16Tflops" || name === "parametersB";
}

function checkHardware(report: Report, { hardware }: CapabilitySet): void {
  const vendor = hardware?.gpu?.vendor;
  if (vendor !== undefined && !GPU_VENDORS.includes(vendor)) {
    report.fail("hardware.gpu.vendor", `${vendor} is none`);
  }
  if (hardware?.additionalGpus?.length) {
    report.warn("hardware.additionalGpus", "only the first GPU is announced");
  }
  if (hardware?.accelerators?.length) {
    report.warn("hardware.accelerators", "accelerators are not announced");
  }
}

function checkTags(report: Report, tags: readonly string[]): void {
  for (const [i, text] of tags.entries()) {
    const at = `tags[${i}]`;
    const tag = typeof text === "string" ? parseTag(text) : undefined;
    if (tag === undefined) report.fail(at, "a tag is text that is not empty");
    else if (reservedPrefix(text) !== undefined) report.fail(at, `${text} belongs to the runtime`);
    else if (tag.kind === "axis" && tag.key === "") report.fail(at, "the key is empty");
  }
}

function checkMetadata(report: Report, metadata: Readonly<Record<string, string>>): void {
  let bytes = 0;
  const encoder = new TextEncoder();
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== "string") {
      report.fail(`metadata.${key}`, "metadata is text");
      continue;
    }
    bytes += encoder.encode(key).length + encoder.encode(value).length;
    if (RESERVED_METADATA.has(key)) report.warn(`metadata.${key}`, "other nodes do not take it over");
    else if (key.startsWith(TOOL_METADATA)) report.warn(`metadata.${key}`, "the prefix belongs to tools");
  }
  if (bytes > METADATA_SOFT_LIMIT) {
    report.warn("metadata", `${bytes} bytes; more than ${METADATA_SOFT_LIMIT} burden every node`);
  }
}

function checkSize(report: Report, set: CapabilitySet): void {
  if (report.errors.length > 0) return;
  const bytes = encodeCapabilityAnnouncement({
    nodeId: 2n ** 64n - 1n,
    entityId: new Uint8Array(32),
    version: 2n ** 64n - 1n,
    timestampNs: 2n ** 64n - 1n,
    ttlSeconds: MAX_U32,
    capabilities: toAnnounced(set),
    signature: new Uint8Array(64),
    hopCount: 15,
    allowedNodes: [],
    allowedSubnets: [],
    allowedGroups: [],
  }).length;
  if (bytes > MAX_ANNOUNCEMENT_BYTES) {
    report.fail("", `the announcement has ${bytes} bytes, a packet takes ${MAX_ANNOUNCEMENT_BYTES}`);
  }
}
