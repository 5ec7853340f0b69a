import { MeshError } from "../errors.ts";
import type { Capabilities, GpuVendor, Modality } from "./capabilities.ts";

/** What a node has to offer; everything given has to hold (spec/mesh.md §10.3). */
export interface CapabilityFilter {
  /** All of these tags; a key and value match with either separator. */
  readonly requireTags?: readonly string[];
  /** Any model of these ids. */
  readonly requireModels?: readonly string[];
  /** Any tool of these ids. */
  readonly requireTools?: readonly string[];
  readonly minMemoryGb?: number;
  readonly requireGpu?: boolean;
  readonly gpuVendor?: GpuVendor;
  readonly minVramGb?: number;
  /** Some model with a context of at least so many tokens. */
  readonly minContextLength?: number;
  /** Each of these by some model. */
  readonly requireModalities?: readonly Modality[];
}

/** How much each quality of a node counts: full weight for 256 GB of memory, 80 GB of GPU memory, 1000 tokens a second, all models loaded. */
export interface CapabilityRequirement {
  readonly filter?: CapabilityFilter;
  readonly memoryWeight?: number;
  readonly vramWeight?: number;
  readonly speedWeight?: number;
  readonly loadedWeight?: number;
}

const FIELDS: ReadonlySet<string> = new Set<keyof CapabilityFilter>([
  "requireTags",
  "requireModels",
  "requireTools",
  "minMemoryGb",
  "requireGpu",
  "gpuVendor",
  "minVramGb",
  "minContextLength",
  "requireModalities",
]);

/** What counts as the full score of a size. */
const FULL_MEMORY_GB = 256;
const FULL_VRAM_GB = 80;
const FULL_TOKENS_PER_SECOND = 1_000;

/** Throws `invalid-argument` for a field that no filter has: ignored, it would find nodes that do not fit. */
export function requireKnownFields(filter: CapabilityFilter): void {
  for (const name of Object.keys(filter)) {
    if (!FIELDS.has(name)) {
      throw new MeshError("invalid-argument", `a capability filter has no field ${JSON.stringify(name)}`);
    }
  }
}

/** Whether capabilities fit the filter, given the keys (`tagKey`) of their tags. */
export function matchesFilter(
  filter: CapabilityFilter,
  { hardware, models, tools }: Capabilities,
  hasTag: (tag: string) => boolean,
): boolean {
  const { gpu } = hardware;
  return (
    (filter.requireTags ?? []).every(hasTag) &&
    anyOf(filter.requireModels, (id) => models.some((model) => model.id === id)) &&
    anyOf(filter.requireTools, (id) => tools.some((tool) => tool.id === id)) &&
    hardware.memoryGb >= (filter.minMemoryGb ?? 0) &&
    (filter.requireGpu !== true || gpu !== undefined) &&
    (filter.gpuVendor === undefined || gpu?.vendor === filter.gpuVendor) &&
    (filter.minVramGb === undefined || (gpu?.vramGb ?? 0) >= filter.minVramGb) &&
    (filter.minContextLength === undefined ||
      models.some(({ contextLength }) => contextLength >= (filter.minContextLength as number))) &&
    (filter.requireModalities ?? []).every((modality) =>
      models.some(({ modalities }) => modalities.includes(modality)),
    )
  );
}

function anyOf(wanted: readonly string[] | undefined, has: (id: string) => boolean): boolean {
  return wanted === undefined || wanted.length === 0 || wanted.some(has);
}

/** The score of capabilities that fit, at least 1: more of what has weight scores higher. */
export function scoreOf(requirement: CapabilityRequirement, { hardware, models }: Capabilities): number {
  const fastest = models.reduce((most, { tokensPerSecond }) => Math.max(most, tokensPerSecond), 0);
  const loaded = models.filter((model) => model.loaded).length;
  return (
    1 +
    (requirement.memoryWeight ?? 0) * share(hardware.memoryGb, FULL_MEMORY_GB) +
    (requirement.vramWeight ?? 0) * share(hardware.gpu?.vramGb ?? 0, FULL_VRAM_GB) +
    (requirement.speedWeight ?? 0) * share(fastest, FULL_TOKENS_PER_SECOND) +
    (requirement.loadedWeight ?? 0) * (models.length === 0 ? 0 : loaded / models.length)
  );
}

function share(value: number, full: number): number {
  return Math.min(value / full, 1);
}
