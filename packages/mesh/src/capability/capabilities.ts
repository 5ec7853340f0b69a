/** Makers of GPUs that have a name in tags. */
export type GpuVendor = "nvidia" | "amd" | "intel" | "apple" | "qualcomm" | "unknown";

/** What a model takes or gives. */
export type Modality = "text" | "image" | "audio" | "video" | "code" | "embedding" | "tool_use";

/** A GPU. Numbers are 0 when unknown. */
export interface Gpu {
  readonly vendor: GpuVendor;
  readonly model: string;
  readonly vramGb: number;
  readonly computeUnits: number;
  readonly tensorCores: number;
  /** Half-precision throughput in teraflops, to one decimal. */
  readonly fp16Tflops: number;
}

/** A machine. Numbers are 0 when unknown. */
export interface Hardware {
  readonly cpuCores: number;
  readonly cpuThreads: number;
  readonly memoryGb: number;
  readonly storageGb: number;
  readonly networkGbps: number;
  readonly gpu: Gpu | undefined;
}

/** What a node takes on at most. 0 means no limit. */
export interface Limits {
  readonly maxConcurrentRequests: number;
  readonly maxTokensPerRequest: number;
  /** Requests per minute. */
  readonly rateLimitRpm: number;
  readonly maxBatchSize: number;
  readonly maxInputBytes: number;
  readonly maxOutputBytes: number;
}

/** What is installed; versions by name. Texts are empty when unknown. */
export interface Software {
  readonly os: string;
  readonly osVersion: string;
  readonly runtimes: Readonly<Record<string, string>>;
  readonly frameworks: Readonly<Record<string, string>>;
  readonly cudaVersion: string;
  readonly drivers: Readonly<Record<string, string>>;
}

/** A model that a node serves. */
export interface Model {
  readonly id: string;
  readonly family: string;
  /** Parameters in billions, to one decimal. */
  readonly parametersB: number;
  /** Tokens. */
  readonly contextLength: number;
  readonly quantization: string;
  readonly modalities: readonly Modality[];
  readonly tokensPerSecond: number;
  readonly loaded: boolean;
}

/** A tool that a node offers. */
export interface Tool {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly requires: readonly string[];
  readonly estimatedTimeMs: number;
  readonly stateless: boolean;
  /** JSON schemas as text; empty when there is none. */
  readonly inputSchema: string;
  readonly outputSchema: string;
}

/** What a node offers, as it reads from its tags and metadata. */
export interface Capabilities {
  readonly hardware: Hardware;
  readonly limits: Limits;
  readonly software: Software;
  readonly models: readonly Model[];
  readonly tools: readonly Tool[];
}

/** What a node offers, as an application says it; everything that is left out is unknown. */
export interface CapabilitySet {
  readonly hardware?: Partial<Omit<Hardware, "gpu">> & {
    readonly gpu?: Partial<Gpu>;
    /** Not announced: tags have room for one GPU. */
    readonly additionalGpus?: readonly Partial<Gpu>[];
    /** Not announced: tags have no room for them. */
    readonly accelerators?: readonly string[];
  };
  readonly limits?: Partial<Limits>;
  readonly software?: Partial<Software>;
  readonly models?: readonly (Partial<Model> & Pick<Model, "id">)[];
  readonly tools?: readonly (Partial<Tool> & Pick<Tool, "id">)[];
  /** Tags of the application's own; reserved prefixes are refused. */
  readonly tags?: readonly string[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The names of {@link GpuVendor}. */
export const GPU_VENDORS: readonly GpuVendor[] = ["nvidia", "amd", "intel", "apple", "qualcomm", "unknown"];

/** The names of {@link Modality}. */
export const MODALITIES: readonly Modality[] = [
  "text",
  "image",
  "audio",
  "video",
  "code",
  "embedding",
  "tool_use",
];
