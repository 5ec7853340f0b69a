import { type AnnouncedCapabilities, type CapabilityAnnouncement, parseTag, tagKey } from "@netmesh/wire";
import { FloodScope } from "../control/flood-scope.ts";
import { DeadlineHeap, type Timed } from "../core/deadline-heap.ts";
import type { Capabilities } from "./capabilities.ts";
import {
  type CapabilityFilter,
  type CapabilityRequirement,
  matchesFilter,
  requireKnownFields,
  scoreOf,
} from "./capability-filter.ts";
import { type AnnouncedScope, readScope } from "./capability-scope.ts";
import { readCapabilities } from "./read-tags.ts";

/** What is known of a node's capabilities. */
export class IndexedNode implements Timed {
  /** As it arrived, with everything that its signature covers. */
  readonly announcement: CapabilityAnnouncement;
  /** What is taken over of it. */
  readonly announced: AnnouncedCapabilities;
  readonly scope: AnnouncedScope;
  /** When it expires, in milliseconds of the core's clock. */
  deadline: number;
  heapIndex = -1;
  #view: Capabilities | undefined;
  readonly #keys: ReadonlySet<string>;

  /** @param expiresMs - when it expires, in milliseconds of the core's clock */
  constructor(announcement: CapabilityAnnouncement, announced: AnnouncedCapabilities, expiresMs: number) {
    this.announcement = announcement;
    this.announced = announced;
    this.deadline = expiresMs;
    this.scope = readScope(announced.tags);
    this.#keys = new Set(announced.tags.map(tagKey));
  }

  get nodeId(): bigint {
    return this.announcement.nodeId;
  }

  /** How far its author is by the way that it has come. */
  get hops(): number {
    return this.announcement.hopCount + 1;
  }

  /** Only a greater one replaces it. */
  get generation(): bigint {
    return this.announcement.version;
  }

  /** The typed view, made when it is first asked for. */
  get capabilities(): Capabilities {
    this.#view ??= readCapabilities(this.announced);
    return this.#view;
  }

  /** Whether it has the tag; a key and value match with either separator. */
  hasTag(tag: string): boolean {
    return this.#keys.has(tagKey(tag));
  }

  /** What the node is found by without looking at every node. */
  *terms(): Iterable<string> {
    for (const key of this.#keys) {
      yield tagTerm(key);
      const chain = chainOf(key);
      if (chain !== undefined) yield chainTerm(chain);
    }
    for (const { id } of this.capabilities.models) yield modelTerm(id);
    for (const { id } of this.capabilities.tools) yield toolTerm(id);
  }
}

const tagTerm = (key: string) => `t${key}`;
const modelTerm = (id: string) => `m${id}`;
const toolTerm = (id: string) => `o${id}`;
const chainTerm = (hash: string) => `c${hash}`;
const NONE: ReadonlySet<IndexedNode> = new Set();

/** The chain that a `causal:` tag is about, as 16 hexadecimal digits. */
function chainOf(tag: string): string | undefined {
  const parsed = tag.startsWith("causal:") ? parseTag(tag) : undefined;
  return parsed?.kind === "reserved" ? /^[0-9a-f]{16}(?=$|[:[])/.exec(parsed.body)?.[0] : undefined;
}

/**
 * The capabilities of the nodes that are known, by what they offer. A query looks at the nodes of its rarest term only. When
 * it is full, the node that was refreshed longest ago leaves.
 */
export class CapabilityIndex {
  readonly capacity: number;
  /** In the order of their refreshing. */
  readonly #nodes = new Map<bigint, IndexedNode>();
  readonly #byTerm = new Map<string, Set<IndexedNode>>();
  readonly #expiries = new DeadlineHeap<IndexedNode>();
  /** Nodes that left for want of room. */
  evicted = 0;

  readonly #own: bigint | undefined;
  /** How far the others are by what they have announced. */
  readonly scope: FloodScope;

  /**
   * @param capacity - nodes that are held at most
   * @param own - a node that never leaves for want of room: this one
   * @param floodNodes - nodes whose announcements are passed on
   */
  constructor(capacity: number, own?: bigint, floodNodes: number = capacity) {
    this.capacity = capacity;
    this.scope = new FloodScope(floodNodes);
    this.#own = own;
  }

  get size(): number {
    return this.#nodes.size;
  }

  /** When {@link sweep} has something to do, `Infinity` for never. */
  get nextExpiryMs(): number {
    return this.#expiries.next;
  }

  /** What is known of that node. */
  get(nodeId: bigint): IndexedNode | undefined {
    return this.#nodes.get(nodeId);
  }

  /** The nodes that were refreshed last, at most `count`, the oldest of them first. */
  latest(count: number): IndexedNode[] {
    const skipped = this.#nodes.size - count;
    const latest: IndexedNode[] = [];
    let i = 0;
    for (const node of this.#nodes.values()) if (i++ >= skipped) latest.push(node);
    return latest;
  }

  /** Adds or replaces a node; false when as new or newer a generation of it is known. */
  set(node: IndexedNode): boolean {
    const known = this.#nodes.get(node.nodeId);
    if (known !== undefined && known.generation >= node.generation) return false;
    if (known !== undefined) this.#remove(known);
    else if (this.#nodes.size >= this.capacity) this.#evict();
    this.#nodes.set(node.nodeId, node);
    if (node.nodeId !== this.#own) this.scope.add(node.hops);
    this.#expiries.schedule(node, node.deadline);
    for (const term of node.terms()) {
      const nodes = this.#byTerm.get(term);
      if (nodes === undefined) this.#byTerm.set(term, new Set([node]));
      else nodes.add(node);
    }
    return true;
  }

  /** Forgets a node; false when it was not known. */
  delete(nodeId: bigint): boolean {
    const node = this.#nodes.get(nodeId);
    if (node !== undefined) this.#remove(node);
    return node !== undefined;
  }

  /** Forgets what has expired. Returns how many. */
  sweep(nowMs: number): number {
    let count = 0;
    for (;;) {
      const node = this.#expiries.peek();
      if (node === undefined || node.deadline > nowMs) return count;
      this.#remove(node);
      count++;
    }
  }

  /**
   * Ids of the nodes that fit, ascending. `admits` decides further. Throws `invalid-argument` for fields that no filter has.
   */
  find(filter: CapabilityFilter, nowMs: number, admits: (node: IndexedNode) => boolean): bigint[] {
    requireKnownFields(filter);
    const found: bigint[] = [];
    for (const node of this.#candidates(filter)) {
      if (node.deadline > nowMs && fits(node, filter) && admits(node)) found.push(node.nodeId);
    }
    return found.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  /** The node with the highest score of those that fit; of equal ones that with the lowest id. Throws as {@link find}. */
  best(
    requirement: CapabilityRequirement,
    nowMs: number,
    admits: (node: IndexedNode) => boolean,
  ): bigint | undefined {
    let best: bigint | undefined;
    let most = 0;
    for (const nodeId of this.find(requirement.filter ?? {}, nowMs, admits)) {
      const score = scoreOf(requirement, (this.#nodes.get(nodeId) as IndexedNode).capabilities);
      if (score <= most) continue;
      most = score;
      best = nodeId;
    }
    return best;
  }

  /** Ids of the nodes that hold a chain, ascending. */
  chainHolders(chain: bigint, nowMs: number): bigint[] {
    const nodes = this.#byTerm.get(chainTerm(chain.toString(16).padStart(16, "0"))) ?? NONE;
    return [...nodes]
      .filter(({ deadline }) => deadline > nowMs)
      .map(({ nodeId }) => nodeId)
      .sort((a, b) => (a < b ? -1 : 1));
  }

  /** The nodes that can fit at all: those of the rarest term, or all when the filter has none. */
  #candidates(filter: CapabilityFilter): Iterable<IndexedNode> {
    let fewest: ReadonlySet<IndexedNode> | undefined;
    const consider = (nodes: ReadonlySet<IndexedNode>) => {
      if (fewest === undefined || nodes.size < fewest.size) fewest = nodes;
    };
    for (const tag of filter.requireTags ?? []) consider(this.#having(tagTerm(tagKey(tag))));
    if (filter.requireGpu === true || filter.gpuVendor !== undefined) {
      consider(this.#having(tagTerm("hardware.gpu")));
    }
    if (filter.requireModels?.length) consider(this.#union(filter.requireModels.map(modelTerm)));
    if (filter.requireTools?.length) consider(this.#union(filter.requireTools.map(toolTerm)));
    return fewest ?? this.#nodes.values();
  }

  #having(term: string): ReadonlySet<IndexedNode> {
    return this.#byTerm.get(term) ?? NONE;
  }

  #union(terms: readonly string[]): ReadonlySet<IndexedNode> {
    if (terms.length === 1) return this.#having(terms[0] as string);
    const union = new Set<IndexedNode>();
    for (const term of terms) for (const node of this.#having(term)) union.add(node);
    return union;
  }

  #evict(): void {
    for (const node of this.#nodes.values()) {
      if (node.nodeId === this.#own) continue;
      this.#remove(node);
      this.evicted++;
      return;
    }
  }

  #remove(node: IndexedNode): void {
    this.#nodes.delete(node.nodeId);
    if (node.nodeId !== this.#own) this.scope.remove(node.hops);
    this.#expiries.remove(node);
    for (const term of node.terms()) {
      const nodes = this.#byTerm.get(term);
      nodes?.delete(node);
      if (nodes?.size === 0) this.#byTerm.delete(term);
    }
  }
}

function fits(node: IndexedNode, filter: CapabilityFilter): boolean {
  return matchesFilter(filter, node.capabilities, (tag) => node.hasTag(tag));
}
