/** What a node must have to run a daemon (§12.1); every constraint given has to hold, and none means any node. */
export interface CapabilityFilter {
  /** All of these tags. */
  readonly requireTags?: readonly string[];
  /** Any of these models. */
  readonly requireModels?: readonly string[];
  /** Any of these tools. */
  readonly requireTools?: readonly string[];
  /** At least so much memory. */
  readonly minMemoryGb?: number;
  /** A GPU of any kind. */
  readonly requireGpu?: boolean;
  /** A GPU of this vendor. */
  readonly gpuVendor?: string;
  /** At least so much video memory. */
  readonly minVramGb?: number;
  /** A model with at least this context. */
  readonly minContextLength?: number;
  /** Models for all of these modalities. */
  readonly requireModalities?: readonly string[];
}

/** A GPU, as far as it is known. */
export interface NodeGpu {
  readonly vendor?: string;
  readonly vramGb?: number;
}

/** A model that a node serves, as far as it is known. */
export interface NodeModel {
  readonly id: string;
  /** Tokens. */
  readonly contextLength?: number;
  readonly modalities?: readonly string[];
  readonly tokensPerSecond?: number;
  readonly isLoaded?: boolean;
}

/** What a node has to offer, as far as placement looks at it. What is left out is not there. */
export interface NodeCapabilities {
  readonly tags?: readonly string[];
  readonly cpuCores?: number;
  readonly memoryGb?: number;
  readonly storageGb?: number;
  readonly gpu?: NodeGpu;
  readonly models?: readonly NodeModel[];
  /** Ids of the tools offered. */
  readonly tools?: readonly string[];
}

/** Whether capabilities meet every constraint of a filter (§12.1): of local and remote nodes alike. */
export function matchesFilter(filter: CapabilityFilter, capabilities: NodeCapabilities): boolean {
  const { gpu, models = [], tools = [], memoryGb = 0 } = capabilities;
  return (
    hasTags(capabilities, filter.requireTags ?? []) &&
    isAnyOf(filter.requireModels, (id) => models.some((model) => model.id === id)) &&
    isAnyOf(filter.requireTools, (id) => tools.includes(id)) &&
    memoryGb >= (filter.minMemoryGb ?? 0) &&
    (filter.requireGpu !== true || hasGpu(capabilities)) &&
    (filter.gpuVendor === undefined || gpu?.vendor === filter.gpuVendor) &&
    (filter.minVramGb === undefined || (gpu?.vramGb ?? 0) >= filter.minVramGb) &&
    hasContext(models, filter.minContextLength) &&
    (filter.requireModalities ?? []).every((wanted) =>
      models.some(({ modalities = [] }) => modalities.includes(wanted)),
    )
  );
}

/** Whether all of the tags are there; a key and value match with either separator. */
export function hasTags({ tags = [] }: NodeCapabilities, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return true;
  const keys = new Set(tags.map(tagKey));
  return wanted.every((tag) => keys.has(tagKey(tag)));
}

/** Whether there is a GPU, described or only tagged. */
export function hasGpu(capabilities: NodeCapabilities): boolean {
  return capabilities.gpu !== undefined || hasTags(capabilities, ["hardware.gpu"]);
}

/** A tag with `=` after its key. */
function tagKey(tag: string): string {
  const at = tag.search(/[=:]/);
  return at < 0 ? tag : `${tag.slice(0, at)}=${tag.slice(at + 1)}`;
}

function isAnyOf(wanted: readonly string[] | undefined, has: (id: string) => boolean): boolean {
  return wanted === undefined || wanted.length === 0 || wanted.some(has);
}

function hasContext(models: readonly NodeModel[], minimum: number | undefined): boolean {
  return minimum === undefined || models.some(({ contextLength = 0 }) => contextLength >= minimum);
}
