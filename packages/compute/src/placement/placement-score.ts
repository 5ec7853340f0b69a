import {
  type CapabilityFilter,
  hasGpu,
  hasTags,
  matchesFilter,
  type NodeCapabilities,
} from "../capability-filter.ts";
import type { PlacementCandidate, PlacementScore } from "./candidate.ts";

/** What counts as full memory, video memory and speed (§12.3). */
const FULL_MEMORY_GB = 256;
const FULL_VRAM_GB = 80;
const FULL_TOKENS_PER_SECOND = 1000;
/** What a missing companion leaves of a score. */
const WITHOUT_COMPANION = 0.7;
/** The share of like daemons above which a node is avoided, and what that leaves of its score. */
const MAX_SHARE = 0.3;
const CROWDED = 0.4;
/** At which value a resource scores one half. */
const HALF_SCORE: Readonly<Record<PlacementResource, number>> = {
  cpuCores: 8,
  memoryGb: 16,
  vramGb: 16,
  storageGb: 1000,
};
/** A trainer's least video memory, and a computer's least cores. */
const TRAINING_VRAM_GB = 24;
const BUSY_CORES = 4;

/** What a daemon needs, and how much each quality of a node counts; weights are clamped to 0..1 and 0 by default. */
export interface PlacementRequirement {
  readonly filter?: CapabilityFilter;
  readonly memoryWeight?: number;
  readonly vramWeight?: number;
  readonly speedWeight?: number;
  readonly loadedWeight?: number;
}

/** 0 for capabilities that do not match, else at least 1: more of what has weight scores higher (§12.3). */
export function requirementScore(requirement: PlacementRequirement, capabilities: NodeCapabilities): number {
  if (!matchesFilter(requirement.filter ?? {}, capabilities)) return 0;
  const { memoryGb = 0, gpu, models = [] } = capabilities;
  const fastest = models.reduce((most, { tokensPerSecond = 0 }) => Math.max(most, tokensPerSecond), 0);
  const loaded = models.filter(({ isLoaded }) => isLoaded === true).length;
  return (
    1 +
    weight(requirement.memoryWeight) * Math.min(1, memoryGb / FULL_MEMORY_GB) +
    weight(requirement.vramWeight) * Math.min(1, (gpu?.vramGb ?? 0) / FULL_VRAM_GB) +
    weight(requirement.speedWeight) * Math.min(1, fastest / FULL_TOKENS_PER_SECOND) +
    weight(requirement.loadedWeight) * (models.length === 0 ? 0 : loaded / models.length)
  );
}

function weight(value = 0): number {
  return value > 0 ? Math.min(1, value) : 0;
}

/** What a daemon is meant for, with its built-in meaning. */
export type PlacementIntent = "ml-training" | "inference" | "cpu-bound" | "sensor-telemetry";

/** A resource that can count. */
export type PlacementResource = "cpuCores" | "memoryGb" | "vramGb" | "storageGb";

/** The axes of {@link standardPlacement}; those left out do not count. */
export interface StandardPlacementAxes {
  /** What the node must meet. */
  readonly filter?: CapabilityFilter;
  /** Tags of which the node must have any. */
  readonly scopes?: readonly string[];
  /** Round-trip time from which on a node scores 0; nearer ones score up to 1, those of unknown distance one half. */
  readonly maxRttMs?: number;
  /** What the node must suit: `any` one of the intents, or with `strict` all. */
  readonly intent?: { readonly mode: "any" | "strict"; readonly intents: readonly PlacementIntent[] };
  /** Tags that should all be there: without them a node scores 0.7 of its score, or with `strict` 0. */
  readonly colocation?: { readonly mode: "soft" | "strict"; readonly tags: readonly string[] };
  /** Resources of which more is better. */
  readonly resources?: readonly PlacementResource[];
  /** The share, 0 to 1, of like daemons that a node has already: above 0.3 it scores 0.4 of its score. */
  readonly shareOn?: (nodeId: bigint) => number;
  /** An axis of one's own; undefined is a veto. */
  readonly custom?: (candidate: PlacementCandidate) => number | undefined;
}

/** A score that is the product of the axes given, each 0 to 1 but for the custom one; an axis that is not a number counts as 0 (§12.3). */
export function standardPlacement(axes: StandardPlacementAxes): PlacementScore {
  return (candidate) => {
    const { capabilities, rttMs, nodeId } = candidate;
    if (!matchesFilter(axes.filter ?? {}, capabilities)) return 0;
    return product([
      scopeAxis(axes.scopes, capabilities),
      proximityAxis(axes.maxRttMs, rttMs),
      intentAxis(axes.intent, capabilities),
      colocationAxis(axes.colocation, capabilities),
      ...(axes.resources ?? []).map((resource) => resourceAxis(resource, capabilities)),
      axes.shareOn === undefined ? 1 : shareAxis(axes.shareOn(nodeId)),
      axes.custom === undefined ? 1 : (axes.custom(candidate) ?? 0),
    ]);
  };
}

function product(axes: readonly number[]): number {
  return axes.reduce((score, axis) => score * (Number.isNaN(axis) ? 0 : axis), 1);
}

function scopeAxis(scopes: readonly string[] | undefined, capabilities: NodeCapabilities): number {
  return scopes === undefined || scopes.some((scope) => hasTags(capabilities, [scope])) ? 1 : 0;
}

function proximityAxis(maxRttMs: number | undefined, rttMs: number | undefined): number {
  if (maxRttMs === undefined) return 1;
  return rttMs === undefined ? 0.5 : Math.max(0, 1 - rttMs / maxRttMs);
}

function intentAxis(intent: StandardPlacementAxes["intent"], capabilities: NodeCapabilities): number {
  if (intent === undefined) return 1;
  const suits = (name: PlacementIntent): boolean => suitsIntent(name, capabilities);
  const isSuited = intent.mode === "strict" ? intent.intents.every(suits) : intent.intents.some(suits);
  return isSuited ? 1 : 0;
}

function suitsIntent(intent: PlacementIntent, capabilities: NodeCapabilities): boolean {
  switch (intent) {
    case "ml-training":
      return hasGpu(capabilities) && (capabilities.gpu?.vramGb ?? 0) >= TRAINING_VRAM_GB;
    case "inference":
      return hasGpu(capabilities) && (capabilities.models ?? []).length > 0;
    case "cpu-bound":
      return (capabilities.cpuCores ?? 0) >= BUSY_CORES;
    case "sensor-telemetry":
      return (capabilities.tags ?? []).some((tag) => tag.startsWith("devices."));
  }
}

function colocationAxis(
  colocation: StandardPlacementAxes["colocation"],
  capabilities: NodeCapabilities,
): number {
  if (colocation === undefined || hasTags(capabilities, colocation.tags)) return 1;
  return colocation.mode === "strict" ? 0 : WITHOUT_COMPANION;
}

function resourceAxis(resource: PlacementResource, capabilities: NodeCapabilities): number {
  const value = (resource === "vramGb" ? capabilities.gpu?.vramGb : capabilities[resource]) ?? 0;
  return value / (value + HALF_SCORE[resource]);
}

function shareAxis(share: number): number {
  if (Number.isNaN(share)) return 0;
  return share > MAX_SHARE ? CROWDED : 1;
}
