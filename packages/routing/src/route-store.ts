import { hashU64, type SocketAddress } from "@netmesh/wire";
import { FlowCache } from "./flow-cache.ts";

// One record is six words: low half, high half, state, next hop, and updatedAt as a float in two words.
// A lookup then touches one stretch of memory, whatever the size of the table.
const WORDS = 6;
const FLOATS = WORDS / 2;
const STATE_AT = 2;
const NEXT_HOP_AT = 3;
const UPDATED_AT = 2;

// State word: metric in the low 16 bits, these above.
const USED = 1 << 16;
const ACTIVE = 1 << 17;
const SESSION = 1 << 18;
const METRIC_MASK = 0xffff;

const FIRST_CAPACITY = 16;
/** Slots in use before the table doubles, of 10. */
const MAX_LOAD_TENTHS = 7;
/** Slots beyond which records no longer stay in a core's caches, and flows are looked up in front of them. */
const CACHED_FLOWS_FROM = 32_768;

/**
 * Open-addressed records `destination → next hop, metric, active, session, updatedAt` in one typed
 * array; next hops are interned, since a mesh has few of them. Slots are valid until the next insertion
 * or removal. Mechanism only: the rules of the routing plane are {@link RoutingTable}'s.
 */
export class RouteStore {
  readonly #seed: number;
  readonly #hops: NextHops = new NextHops();
  #count = 0;
  #mask = 0;
  #words: Uint32Array = new Uint32Array(0);
  #floats: Float64Array = new Float64Array(0);
  #flows: FlowCache | undefined;

  constructor(seed: number) {
    this.#seed = seed;
    this.#allocate(FIRST_CAPACITY);
  }

  /** Records held. */
  get count(): number {
    return this.#count;
  }

  /** Slots there are; each may hold a record. */
  get capacity(): number {
    return this.#mask + 1;
  }

  /** Distinct next hops referred to. */
  get nextHopCount(): number {
    return this.#hops.count;
  }

  /** Slot of the destination, or a negative number. */
  find(lo: number, hi: number): number {
    return this.#find(hashU64(lo, hi, this.#seed), lo, hi);
  }

  /** Next hop of an active record that is at most `maxAgeMs` old; the call for the packet path. */
  lookup(lo: number, hi: number, maxAgeMs: number, nowMs: number): SocketAddress | undefined {
    const hash = hashU64(lo, hi, this.#seed);
    const flows = this.#flows;
    if (flows !== undefined) {
      const hop = flows.find(hash, lo >>> 0, hi >>> 0, nowMs);
      if (hop >= 0) return this.#hops.at(hop);
    }
    const slot = this.#find(hash, lo, hi);
    if (slot < 0 || !this.isActive(slot)) return undefined;
    const updatedAtMs = this.updatedAtMs(slot);
    if (nowMs - updatedAtMs > maxAgeMs) return undefined;
    const hop = this.#words[slot * WORDS + NEXT_HOP_AT] as number;
    flows?.put(hash, lo >>> 0, hi >>> 0, hop, updatedAtMs + maxAgeMs);
    return this.#hops.at(hop);
  }

  /** Forgets what lookups remember: records are used up to another age from now on. */
  forgetFlows(): void {
    this.#flows?.clear();
  }

  #find(hash: number, lo: number, hi: number): number {
    const words = this.#words;
    const mask = this.#mask;
    const wantedLo = lo >>> 0;
    const wantedHi = hi >>> 0;
    let slot = hash & mask;
    for (;;) {
      const at = slot * WORDS;
      if (words[at + STATE_AT] === 0) return ~slot;
      if (words[at] === wantedLo && words[at + 1] === wantedHi) return slot;
      slot = (slot + 1) & mask;
    }
  }

  isUsed(slot: number): boolean {
    return this.#state(slot) !== 0;
  }

  lo(slot: number): number {
    return this.#words[slot * WORDS] as number;
  }

  hi(slot: number): number {
    return this.#words[slot * WORDS + 1] as number;
  }

  metric(slot: number): number {
    return this.#state(slot) & METRIC_MASK;
  }

  isActive(slot: number): boolean {
    return (this.#state(slot) & ACTIVE) !== 0;
  }

  isSession(slot: number): boolean {
    return (this.#state(slot) & SESSION) !== 0;
  }

  nextHop(slot: number): SocketAddress {
    return this.#hops.at(this.#words[slot * WORDS + NEXT_HOP_AT] as number);
  }

  /** Number of a next hop that some record refers to, for {@link RouteStore.usesNextHop}. */
  nextHopNumber(hop: SocketAddress): number | undefined {
    return this.#hops.numberOf(hop);
  }

  usesNextHop(slot: number, hopNumber: number): boolean {
    return this.#words[slot * WORDS + NEXT_HOP_AT] === hopNumber;
  }

  updatedAtMs(slot: number): number {
    return this.#floats[slot * FLOATS + UPDATED_AT] as number;
  }

  touch(slot: number, nowMs: number): void {
    this.#floats[slot * FLOATS + UPDATED_AT] = nowMs;
  }

  setActive(slot: number, active: boolean): void {
    this.#forgetFlow(slot);
    const at = slot * WORDS + STATE_AT;
    this.#words[at] = active ? this.#state(slot) | ACTIVE : this.#state(slot) & ~ACTIVE;
  }

  /** Replaces what the record says; it becomes active. */
  replace(slot: number, hop: SocketAddress, metric: number, isSession: boolean, nowMs: number): void {
    const at = slot * WORDS;
    this.#forgetFlow(slot);
    // Acquire before release: the hop may be the one already stored.
    const acquired = this.#hops.acquire(hop);
    this.#hops.release(this.#words[at + NEXT_HOP_AT] as number);
    this.#write(slot, acquired, metric, isSession, nowMs);
  }

  /** Adds a record for a destination that {@link RouteStore.find} did not find. */
  insert(
    lo: number,
    hi: number,
    hop: SocketAddress,
    metric: number,
    isSession: boolean,
    nowMs: number,
  ): void {
    if ((this.#count + 1) * 10 > this.capacity * MAX_LOAD_TENTHS) this.#grow();
    const slot = ~this.find(lo, hi);
    this.#words[slot * WORDS] = lo;
    this.#words[slot * WORDS + 1] = hi;
    this.#write(slot, this.#hops.acquire(hop), metric, isSession, nowMs);
    this.#count += 1;
  }

  /** Removes the record and pulls back those that only probed past it. */
  remove(slot: number): void {
    const words = this.#words;
    const mask = this.#mask;
    this.#forgetFlow(slot);
    this.#hops.release(words[slot * WORDS + NEXT_HOP_AT] as number);
    let hole = slot;
    for (let next = (hole + 1) & mask; words[next * WORDS + STATE_AT] !== 0; next = (next + 1) & mask) {
      const at = next * WORDS;
      const home = hashU64(words[at] as number, words[at + 1] as number, this.#seed) & mask;
      // A record may move back to the hole only if the hole is not before its home.
      if (((next - home) & mask) < ((next - hole) & mask)) continue;
      words.copyWithin(hole * WORDS, at, at + WORDS);
      hole = next;
    }
    words[hole * WORDS + STATE_AT] = 0;
    this.#count -= 1;
  }

  #forgetFlow(slot: number): void {
    this.#flows?.invalidate(hashU64(this.lo(slot), this.hi(slot), this.#seed));
  }

  #state(slot: number): number {
    return this.#words[slot * WORDS + STATE_AT] as number;
  }

  #write(slot: number, hop: number, metric: number, isSession: boolean, nowMs: number): void {
    const at = slot * WORDS;
    this.#words[at + STATE_AT] = metric | USED | ACTIVE | (isSession ? SESSION : 0);
    this.#words[at + NEXT_HOP_AT] = hop;
    this.#floats[slot * FLOATS + UPDATED_AT] = nowMs;
  }

  #grow(): void {
    const old = this.#words;
    this.#allocate(this.capacity * 2);
    for (let at = 0; at < old.length; at += WORDS) {
      if (old[at + STATE_AT] === 0) continue;
      const slot = ~this.find(old[at] as number, old[at + 1] as number);
      for (let word = 0; word < WORDS; word++) {
        this.#words[slot * WORDS + word] = old[at + word] as number;
      }
    }
  }

  #allocate(capacity: number): void {
    this.#mask = capacity - 1;
    if (capacity >= CACHED_FLOWS_FROM) this.#flows ??= new FlowCache();
    this.#words = new Uint32Array(capacity * WORDS);
    this.#floats = new Float64Array(this.#words.buffer);
  }
}

/** Next hops by small number, counted by reference, numbers reused. */
class NextHops {
  readonly #indexByKey: Map<string, number> = new Map();
  readonly #addresses: (SocketAddress | undefined)[] = [];
  readonly #references: number[] = [];
  readonly #free: number[] = [];

  get count(): number {
    return this.#indexByKey.size;
  }

  at(index: number): SocketAddress {
    return this.#addresses[index] as SocketAddress;
  }

  numberOf(address: SocketAddress): number | undefined {
    return this.#indexByKey.get(address.key);
  }

  acquire(address: SocketAddress): number {
    const known = this.#indexByKey.get(address.key);
    if (known !== undefined) {
      this.#references[known] = (this.#references[known] as number) + 1;
      return known;
    }
    const index = this.#free.pop() ?? this.#addresses.length;
    this.#indexByKey.set(address.key, index);
    this.#addresses[index] = address;
    this.#references[index] = 1;
    return index;
  }

  release(index: number): void {
    const left = (this.#references[index] as number) - 1;
    this.#references[index] = left;
    if (left > 0) return;
    this.#indexByKey.delete(this.at(index).key);
    this.#addresses[index] = undefined;
    this.#free.push(index);
  }
}
