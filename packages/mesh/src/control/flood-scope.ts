/** Hops that are told apart; what is farther counts as this far. */
const MAX_HOPS = 16;

/**
 * How far floods reach: a node passes on what comes from as far as a limited number of nodes are, and at least what comes from its
 * neighbours. So what a node spends on floods does not depend on the size of the mesh; a mesh that is smaller than the limit is
 * flooded as a whole.
 */
export class FloodScope {
  readonly #limit: number;
  /** Known nodes by their hops. */
  readonly #population = new Uint32Array(MAX_HOPS + 1);

  /** @param limit - nodes whose floods are passed on, neighbours not counted */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** A node is known to be that many hops away, from 1 up. */
  add(hops: number): void {
    this.#population[Math.min(MAX_HOPS, hops)] = this.#at(hops) + 1;
  }

  /** It no longer is. */
  remove(hops: number): void {
    this.#population[Math.min(MAX_HOPS, hops)] = this.#at(hops) - 1;
  }

  /** Forgets everything. */
  clear(): void {
    this.#population.fill(0);
  }

  /** Hops from which floods are passed on, 1 to 16. */
  get radius(): number {
    let nodes = 0;
    for (let hops = 1; hops <= MAX_HOPS; hops++) {
      nodes += this.#population[hops] as number;
      if (nodes > this.#limit) return Math.max(1, hops - 1);
    }
    return MAX_HOPS;
  }

  #at(hops: number): number {
    return this.#population[Math.min(MAX_HOPS, hops)] as number;
  }
}
