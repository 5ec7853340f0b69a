import type { RandomSource } from "@netmesh/crypto";
import { writeU64, xxh3 } from "@netmesh/wire";
import { invalidConfig } from "./group-error.ts";

/** How events are spread over members; all of them choose among the healthy ones only (§25). */
export type RoutingStrategy =
  /** One after the other. */
  | "round-robin"
  /** One after the other, each as often as it has weight. */
  | "weighted-round-robin"
  /** Fewest deliveries under way. */
  | "least-connections"
  /** Fewest deliveries under way for its weight. */
  | "weighted-least-connections"
  /** Any. */
  | "random"
  /** Any, the more likely the more weight. */
  | "weighted-random"
  /** The same one for the same routing key, as long as it is healthy. */
  | "consistent-hash"
  /** Least latency reported. */
  | "least-latency"
  /** Least load reported. */
  | "least-load"
  /** The one with fewer deliveries under way of any two. */
  | "power-of-two"
  /** Least of deliveries under way, load and latency together, for its weight. */
  | "adaptive";

/** What is known about an event before it is routed. */
export interface RouteContext {
  /** What `consistent-hash` goes by; without one, members take turns. */
  readonly routingKey?: string | Uint8Array;
}

/** What a member is chosen by. */
export interface MemberLoad {
  /** Its share of the events where weights count; 1 by default, above 0. */
  readonly weight: number;
  /** Latency in milliseconds; 0 by default. */
  readonly latencyMs: number;
  /** How busy it is, 0 to 1; 0 by default. */
  readonly load: number;
}

/** A member that can be chosen. */
export interface RoutableMember {
  readonly index: number;
  readonly originHash: bigint;
}

interface Share extends MemberLoad {
  /** Deliveries under way. */
  connections: number;
  /** What it has saved up of its weight. */
  credit: number;
}

/** Latency that counts as much as one delivery under way. */
const LATENCY_UNIT_MS = 10;
const NO_LOAD: MemberLoad = { weight: 1, latencyMs: 0, load: 0 };
const encoder = new TextEncoder();

type Choose = (router: Turns, members: readonly RoutableMember[], context: RouteContext) => RoutableMember;

/** What strategies ask their router. */
interface Turns {
  share(index: number): Share;
  /** Counts up. */
  nextTurn(): number;
  /** From 0 to below 1. */
  random(): number;
}

const STRATEGIES: Readonly<Record<RoutingStrategy, Choose>> = {
  "round-robin": takeTurns,
  "weighted-round-robin": takeWeightedTurns,
  "least-connections": least((share) => share.connections),
  "weighted-least-connections": least((share) => (share.connections + 1) / share.weight),
  random: (router, members) => at(members, router.random() * members.length),
  "weighted-random": chooseByWeight,
  "consistent-hash": chooseByKey,
  "least-latency": least((share) => share.latencyMs),
  "least-load": least((share) => share.load),
  "power-of-two": chooseOfTwo,
  adaptive: least(
    (share) =>
      ((share.connections + 1) * (1 + share.load) * (1 + share.latencyMs / LATENCY_UNIT_MS)) / share.weight,
  ),
};

/** Throws `invalid-config` for a strategy that there is not. */
export function requireStrategy(strategy: RoutingStrategy): void {
  if (!Object.hasOwn(STRATEGIES, strategy)) throw invalidConfig(`no routing strategy ${String(strategy)}`);
}

/** Chooses members for events. Remembers as many shares as there are indices in use. */
export class MemberRouter {
  readonly #choose: Choose;
  readonly #shares: Map<number, Share> = new Map();
  readonly #turns: Turns;
  #turn = 0;

  constructor(strategy: RoutingStrategy, random: RandomSource) {
    this.#choose = STRATEGIES[strategy];
    const word = new Uint8Array(4);
    this.#turns = {
      share: (index) => this.#share(index),
      nextTurn: () => this.#turn++,
      random: () => {
        random.fill(word);
        return new DataView(word.buffer).getUint32(0) / 2 ** 32;
      },
    };
  }

  /** One of the members; undefined when there are none. */
  choose<M extends RoutableMember>(members: readonly M[], context: RouteContext = {}): M | undefined {
    if (members.length === 0) return undefined;
    return this.#choose(this.#turns, members, context) as M;
  }

  /** Takes note of how a member is doing; what is left out stays. Throws `invalid-config` for what is out of range. */
  report(index: number, load: Partial<MemberLoad>): void {
    const { weight = 1, latencyMs = 0, load: level = 0 } = load;
    if (!(weight > 0 && Number.isFinite(weight)) || !(latencyMs >= 0) || !(level >= 0 && level <= 1)) {
      throw invalidConfig("weight must be above 0, latencyMs 0 or more, load 0..1");
    }
    Object.assign(this.#share(index), load);
  }

  /** A delivery to a member begins; returns what ends it, to be called once. */
  begin(index: number): () => void {
    const share = this.#share(index);
    share.connections++;
    return () => void share.connections--;
  }

  /** Forgets a member. */
  forget(index: number): void {
    this.#shares.delete(index);
  }

  #share(index: number): Share {
    const known = this.#shares.get(index);
    if (known !== undefined) return known;
    const share = { ...NO_LOAD, connections: 0, credit: 0 };
    this.#shares.set(index, share);
    return share;
  }
}

function at(members: readonly RoutableMember[], position: number): RoutableMember {
  return members[Math.floor(position) % members.length] as RoutableMember;
}

function takeTurns(router: Turns, members: readonly RoutableMember[]): RoutableMember {
  return at(members, router.nextTurn());
}

/** Each saves up its weight per turn, and whoever has most pays the sum: turns are spread evenly. */
function takeWeightedTurns(router: Turns, members: readonly RoutableMember[]): RoutableMember {
  let total = 0;
  for (const { index } of members) {
    const share = router.share(index);
    share.credit += share.weight;
    total += share.weight;
  }
  const chosen = members.reduce((best, member) =>
    router.share(member.index).credit > router.share(best.index).credit ? member : best,
  );
  router.share(chosen.index).credit -= total;
  return chosen;
}

/** The member with the least cost; of equals the one whose turn it is, so that idle members share the work. */
function least(costOf: (share: Share) => number): Choose {
  return (router, members) => {
    const costs = members.map(({ index }) => costOf(router.share(index)));
    const lowest = Math.min(...costs);
    return takeTurns(
      router,
      members.filter((_, position) => costs[position] === lowest),
    );
  };
}

function chooseByWeight(router: Turns, members: readonly RoutableMember[]): RoutableMember {
  const total = members.reduce((sum, { index }) => sum + router.share(index).weight, 0);
  let left = router.random() * total;
  for (const member of members) {
    left -= router.share(member.index).weight;
    if (left < 0) return member;
  }
  return at(members, members.length - 1);
}

/** The member whose hash with the key is highest: a member that goes only moves the keys that it had. */
function chooseByKey(
  router: Turns,
  members: readonly RoutableMember[],
  { routingKey }: RouteContext,
): RoutableMember {
  if (routingKey === undefined) return takeTurns(router, members);
  const key = typeof routingKey === "string" ? encoder.encode(routingKey) : routingKey;
  const bytes = new Uint8Array(8 + key.length);
  bytes.set(key, 8);
  const rank = (member: RoutableMember): bigint => {
    writeU64(bytes, 0, member.originHash);
    return xxh3(bytes);
  };
  return members.reduce((best, member) => (rank(member) > rank(best) ? member : best));
}

function chooseOfTwo(router: Turns, members: readonly RoutableMember[]): RoutableMember {
  const first = Math.floor(router.random() * members.length);
  // Any but the first, as far as there is another.
  const step = 1 + Math.floor(router.random() * (members.length - 1));
  const a = at(members, first);
  const b = at(members, first + step);
  return router.share(b.index).connections < router.share(a.index).connections ? b : a;
}
