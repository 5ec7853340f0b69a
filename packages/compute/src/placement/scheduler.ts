import { type CapabilityFilter, hasTags, matchesFilter } from "../capability-filter.ts";
import type { Daemon } from "../daemon.ts";
import { DaemonError } from "../errors.ts";
import type { PlacementCandidate, PlacementDirectory, PlacementScore } from "./candidate.ts";

/** The tag of a node that takes daemons in. */
export const MIGRATION_TARGET_TAG = "subprotocol:0x0500";

/** Why a node was chosen. */
export type PlacementReason = "local-preferred" | "only-candidate" | "first-match" | "pinned" | "best-score";

/** Where a daemon goes, and why. */
export interface PlacementDecision {
  readonly nodeId: bigint;
  readonly reason: PlacementReason;
}

/** What a daemon says about where it can run. */
export type DaemonRequirements = Pick<
  Daemon,
  "requirements" | "requiredCapabilities" | "optionalCapabilities"
>;

const NO_NODES: ReadonlySet<bigint> = new Set();

/**
 * Chooses nodes for daemons, from what this node knows (§12.2). Every candidate is held to the whole filter.
 *
 * What finds no node throws `no-target-available`.
 */
export class Scheduler {
  readonly #directory: PlacementDirectory;

  constructor(directory: PlacementDirectory) {
    this.#directory = directory;
  }

  /** This node if it matches, else the lowest id of those that do. */
  place(filter: CapabilityFilter = {}): PlacementDecision {
    return this.placeWithLocality(filter, NO_NODES);
  }

  /** As `place`, leaving out drained nodes. */
  placeWithLocality(filter: CapabilityFilter, drained: ReadonlySet<bigint>): PlacementDecision {
    const { nodeId } = this.#directory;
    if (!drained.has(nodeId) && this.#isLocalMatch(filter)) return { nodeId, reason: "local-preferred" };
    const nodes = this.#matches(filter, drained).map((candidate) => candidate.nodeId);
    const [first] = nodes;
    if (first === undefined) throw noCandidate();
    return { nodeId: first, reason: nodes.length === 1 ? "only-candidate" : "first-match" };
  }

  /** That node, whatever it offers. */
  pin(nodeId: bigint): PlacementDecision {
    return { nodeId, reason: "pinned" };
  }

  /** All nodes that match, this one included, in the order of their ids. */
  matchingNodes(filter: CapabilityFilter = {}): bigint[] {
    const nodes = this.#matches(filter, NO_NODES).map(({ nodeId }) => nodeId);
    return this.#isLocalMatch(filter) ? ascending([...nodes, this.#directory.nodeId]) : nodes;
  }

  /** The nodes other than `source` and this one that match and take daemons in, in the order of their ids. */
  findMigrationTargets(filter: CapabilityFilter, source: bigint): bigint[] {
    return this.#matches(filter, new Set([source]))
      .filter(({ capabilities }) => hasTags(capabilities, [MIGRATION_TARGET_TAG]))
      .map(({ nodeId }) => nodeId);
  }

  /**
   * Where a daemon moves from `source`: here if this node meets what it requires, else where the score is best. By default that is the
   * share of its optional capabilities. Ties go to the lower round-trip time, a known one before an unknown, then to more free
   * resources, then to the lower id. Scores that are not finite rule a node out, and so does 0.
   */
  placeMigration(
    daemon: DaemonRequirements,
    source: bigint,
    score: PlacementScore = optionalShare(daemon.optionalCapabilities ?? []),
  ): PlacementDecision {
    const filter = migrationFilter(daemon);
    const { nodeId } = this.#directory;
    if (nodeId !== source && this.#isLocalMatch(filter)) return { nodeId, reason: "local-preferred" };
    const targets = new Set(this.findMigrationTargets(filter, source));
    const candidates = this.#matches(filter, NO_NODES).filter((candidate) => targets.has(candidate.nodeId));
    const best = bestOf(candidates, score);
    if (best === undefined) throw noCandidate();
    return { nodeId: best.nodeId, reason: "best-score" };
  }

  #isLocalMatch(filter: CapabilityFilter): boolean {
    return matchesFilter(filter, this.#directory.localCapabilities());
  }

  /** Other nodes that match, by ascending id, each once. */
  #matches(filter: CapabilityFilter, without: ReadonlySet<bigint>): PlacementCandidate[] {
    const found = new Map<bigint, PlacementCandidate>();
    for (const candidate of this.#directory.candidates()) {
      const { nodeId, capabilities } = candidate;
      if (nodeId === this.#directory.nodeId || without.has(nodeId) || found.has(nodeId)) continue;
      if (matchesFilter(filter, capabilities)) found.set(nodeId, candidate);
    }
    return ascending([...found.keys()]).map((nodeId) => found.get(nodeId) as PlacementCandidate);
  }
}

/** The candidate with the highest finite score above 0, by the rules of {@link Scheduler.placeMigration}. */
export function bestOf(
  candidates: readonly PlacementCandidate[],
  score: PlacementScore,
): PlacementCandidate | undefined {
  let best: PlacementCandidate | undefined;
  let bestScore = 0;
  for (const candidate of candidates) {
    const value = score(candidate);
    if (!Number.isFinite(value) || value <= 0) continue;
    if (best === undefined || value > bestScore || (value === bestScore && isBefore(candidate, best))) {
      best = candidate;
      bestScore = value;
    }
  }
  return best;
}

/** Whether `a` wins a tie against `b`. */
function isBefore(a: PlacementCandidate, b: PlacementCandidate): boolean {
  const rtt = distance(a) - distance(b);
  // Of two unknown distances the difference is no number.
  if (rtt !== 0 && !Number.isNaN(rtt)) return rtt < 0;
  const free = (a.freeResources ?? 0) - (b.freeResources ?? 0);
  return free === 0 ? a.nodeId < b.nodeId : free > 0;
}

function distance({ rttMs = Number.POSITIVE_INFINITY }: PlacementCandidate): number {
  return Number.isNaN(rttMs) ? Number.POSITIVE_INFINITY : rttMs;
}

function migrationFilter({
  requirements = {},
  requiredCapabilities = [],
}: DaemonRequirements): CapabilityFilter {
  return { ...requirements, requireTags: [...(requirements.requireTags ?? []), ...requiredCapabilities] };
}

/** 1 to 2, by the share of the tags that a node has. */
function optionalShare(tags: readonly string[]): PlacementScore {
  if (tags.length === 0) return () => 1;
  return ({ capabilities }) => 1 + tags.filter((tag) => hasTags(capabilities, [tag])).length / tags.length;
}

function ascending(nodes: bigint[]): bigint[] {
  return nodes.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

function noCandidate(): DaemonError {
  return new DaemonError("no-target-available", "no candidate: no node meets what is required");
}
