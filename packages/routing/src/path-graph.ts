import { high32, joinU64, low32, U64Map } from "@netmesh/wire";

/** Weight of a new latency sample is 1/8 (routing §8.1). */
const EWMA_SHIFT = 8;

/**
 * Directed edges between nodes with a smoothed latency each, and the shortest path over them. Holds at most
 * `maxEdges`; further ones are refused until old ones are swept. Ids inside are unsigned 32-bit halves.
 */
export class PathGraph {
  readonly #maxEdges: number;
  readonly #vertices: U64Map<Vertex>;
  /** By the numbers of both ends. */
  readonly #edges: U64Map<Edge>;
  readonly #freeNumbers: number[] = [];
  #nextNumber = 0;
  #refused = 0;

  constructor(maxEdges: number, seed: number) {
    this.#maxEdges = maxEdges;
    this.#vertices = new U64Map(seed);
    this.#edges = new U64Map(seed);
  }

  get edgeCount(): number {
    return this.#edges.size;
  }

  /** Edges refused for want of room. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Adds the edge, or confirms it; a sample of 0 says nothing about the latency. An edge confirmed less
   * than `refreshMs` ago is left alone. The latency moves an eighth of the way to each sample.
   */
  refresh(
    fromLo: number,
    fromHi: number,
    toLo: number,
    toHi: number,
    sampleUs: number,
    refreshMs: number,
    nowMs: number,
  ): void {
    const known = this.#edge(fromLo, fromHi, toLo, toHi);
    const sample = Math.floor(sampleUs);
    if (known !== undefined) {
      if (nowMs - known.updatedAtMs < refreshMs) return;
      if (sample > 0) {
        const latency = known.latencyUs;
        known.latencyUs = latency - Math.floor(latency / EWMA_SHIFT) + Math.floor(sample / EWMA_SHIFT);
      }
      known.updatedAtMs = nowMs;
      return;
    }
    if (this.#edges.size >= this.#maxEdges) {
      this.#refused += 1;
      return;
    }
    const from = this.#vertex(fromLo, fromHi);
    const to = this.#vertex(toLo, toHi);
    const edge = { from, to, latencyUs: sample, updatedAtMs: nowMs, place: from.out.length };
    from.out.push(edge);
    from.degree += 1;
    to.degree += 1;
    this.#edges.set(from.number, to.number, edge);
  }

  /** Removes the edge; false when there is none. */
  remove(fromLo: number, fromHi: number, toLo: number, toHi: number): boolean {
    const edge = this.#edge(fromLo, fromHi, toLo, toHi);
    if (edge === undefined) return false;
    this.#edges.delete(edge.from.number, edge.to.number);
    this.#detach(edge);
    return true;
  }

  /** Removes the edges that were confirmed longer ago than `maxAgeMs`; returns how many. */
  sweep(maxAgeMs: number, nowMs: number): number {
    return this.#edges.removeIf((edge) => {
      if (nowMs - edge.updatedAtMs <= maxAgeMs) return false;
      this.#detach(edge);
      return true;
    });
  }

  /** Latency of the edge, `undefined` when there is none. */
  latencyUs(from: bigint, to: bigint): number | undefined {
    return this.#edge(low32(from), high32(from), low32(to), high32(to))?.latencyUs;
  }

  /** A path with the fewest edges, both ends included. */
  path(from: bigint, to: bigint): bigint[] | undefined {
    if (from === to) return [from];
    const start = this.#vertices.getId(from);
    const end = this.#vertices.getId(to);
    if (start === undefined || end === undefined) return undefined;
    const cameFrom = new Map<Vertex, Vertex | undefined>([[start, undefined]]);
    // Appending to the map while it is walked makes it the queue of a breadth-first search.
    for (const vertex of cameFrom.keys()) {
      if (vertex === end) break;
      for (const edge of vertex.out) if (!cameFrom.has(edge.to)) cameFrom.set(edge.to, vertex);
    }
    if (!cameFrom.has(end)) return undefined;
    const path: bigint[] = [];
    for (let at: Vertex | undefined = end; at !== undefined; at = cameFrom.get(at)) {
      path.push(joinU64(at.lo, at.hi));
    }
    return path.reverse();
  }

  #edge(fromLo: number, fromHi: number, toLo: number, toHi: number): Edge | undefined {
    const from = this.#vertices.get(fromLo, fromHi);
    const to = this.#vertices.get(toLo, toHi);
    return from && to && this.#edges.get(from.number, to.number);
  }

  #vertex(lo: number, hi: number): Vertex {
    const known = this.#vertices.get(lo, hi);
    if (known !== undefined) return known;
    const number = this.#freeNumbers.pop() ?? this.#nextNumber++;
    const vertex: Vertex = { lo, hi, number, out: [], degree: 0 };
    this.#vertices.set(lo, hi, vertex);
    return vertex;
  }

  /** Takes an edge that is out of the map from its ends, and ends without edges away. */
  #detach(edge: Edge): void {
    const { out } = edge.from;
    const last = out.pop() as Edge;
    if (last !== edge) {
      out[edge.place] = last;
      last.place = edge.place;
    }
    for (const vertex of [edge.from, edge.to]) {
      vertex.degree -= 1;
      if (vertex.degree > 0) continue;
      this.#vertices.delete(vertex.lo, vertex.hi);
      this.#freeNumbers.push(vertex.number);
    }
  }
}

interface Vertex {
  readonly lo: number;
  readonly hi: number;
  /** Small and unique among the vertices. */
  readonly number: number;
  readonly out: Edge[];
  /** Edges that begin or end here. */
  degree: number;
}

interface Edge {
  readonly from: Vertex;
  readonly to: Vertex;
  latencyUs: number;
  updatedAtMs: number;
  /** Index in `from.out`. */
  place: number;
}
