import type { SocketAddress } from "@netmesh/wire";
import { MIN_OBSERVATIONS, NatClassifier } from "./nat-classifier.ts";
import { isPublicIpv4 } from "./port-mapping/external-address.ts";
import type { RandomSource } from "./random-source.ts";
import { randomBelow } from "./random-source.ts";
import type { Reachability } from "./reachability.ts";
import type { ReflexProber } from "./reflex-prober.ts";
import type { TraversalSettings } from "./settings.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost, TraversalPeer } from "./traversal-host.ts";

/** Peers that are asked in a sweep. */
const PEERS_PER_SWEEP = 3;
/** Pause between looks for enough peers (traversal §2.3). */
const POLL_MS = 200;
/** Sweeps are repeated after so many deadlines. */
const PERIODS = 12;
const MIN_PERIOD_MS = 1_000;

/** What sweeping needs. */
export interface NatSweeperParts {
  readonly host: TraversalHost;
  readonly timers: Timers;
  readonly random: RandomSource;
  readonly settings: TraversalSettings;
  readonly prober: ReflexProber;
  readonly reachability: Reachability;
}

/** Finds out the class of this node's NAT by asking direct peers, now and again (traversal §§7.3–7.4). */
export class NatSweeper {
  readonly #parts: NatSweeperParts;
  #running: Promise<void> | undefined;
  #handle: unknown;
  #isClosed = false;

  constructor(parts: NatSweeperParts) {
    this.#parts = parts;
  }

  /** Sweeps as soon as there are two direct peers, and from then on every minute. */
  start(): void {
    if (!this.#isClosed) this.#after(POLL_MS);
  }

  /** Ends that. */
  close(): void {
    this.#isClosed = true;
    this.#parts.timers.cancel(this.#handle);
  }

  /** One sweep; joins one that is under way. Never rejects. */
  sweep(): Promise<void> {
    this.#running ??= this.#sweep().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  #after(delayMs: number): void {
    this.#handle = this.#parts.timers.after(delayMs, () => this.#turn());
  }

  #turn(): void {
    if (this.#isClosed) return;
    if (this.#choose().length < MIN_OBSERVATIONS) {
      this.#after(POLL_MS);
      return;
    }
    const { classifyDeadlineMs } = this.#parts.settings;
    void this.sweep().then(() => {
      if (!this.#isClosed) this.#after(Math.max(MIN_PERIOD_MS, PERIODS * classifyDeadlineMs));
    });
  }

  async #sweep(): Promise<void> {
    const { host, prober, reachability, settings } = this.#parts;
    const peers = this.#choose();
    if (reachability.isPinned || peers.length < MIN_OBSERVATIONS) return;
    const probes = peers.map(async ({ nodeId }) => {
      const seen = await prober.learn(nodeId).catch(() => undefined);
      return seen && ([nodeId, seen] as const);
    });
    const answers = await this.#before(settings.classifyDeadlineMs, Promise.all(probes));
    const seen = (answers ?? []).filter((answer) => answer !== undefined);
    // A peer on the same network sees an address that means nothing outside.
    const outside = seen.filter(([, address]) => isGlobal(address));
    const counted = agreeing(outside.length > 0 ? outside : seen);
    const classifier = new NatClassifier();
    for (const [nodeId, address] of counted) classifier.observe(nodeId, address);
    const natClass = classifier.classify(host.localAddress, host.interfaceAddresses());
    reachability.commit(natClass, counted.at(-1)?.[1]);
  }

  /** Direct peers at different addresses, at random. */
  #choose(): TraversalPeer[] {
    const { host, random } = this.#parts;
    const direct = [...host.peers()].filter(({ isDirect }) => isDirect);
    const chosen: TraversalPeer[] = [];
    while (direct.length > 0 && chosen.length < PEERS_PER_SWEEP) {
      const [peer] = direct.splice(randomBelow(random, direct.length), 1) as [TraversalPeer];
      if (!chosen.some(({ address }) => address.equals(peer.address))) chosen.push(peer);
    }
    return chosen;
  }

  #before<T>(deadlineMs: number, work: Promise<T>): Promise<T | undefined> {
    return new Promise((resolve) => {
      const handle = this.#parts.timers.after(deadlineMs, () => resolve(undefined));
      void work.then((value) => {
        this.#parts.timers.cancel(handle);
        resolve(value);
      });
    });
  }
}

/**
 * The answers with the IP address that most have seen, the last such of several: one peer that errs or lies among three decides
 * nothing. All of them when no two agree, as behind a NAT with many addresses.
 */
function agreeing(seen: readonly (readonly [bigint, SocketAddress])[]): typeof seen {
  const groups = seen.map(([, { host }]) => seen.filter(([, other]) => other.host === host));
  const largest = groups.reduce((best, group) => (group.length >= best.length ? group : best), []);
  return largest.length < MIN_OBSERVATIONS ? seen : largest;
}

function isGlobal({ host, family }: SocketAddress): boolean {
  return family === 4 ? isPublicIpv4(host) : /^[23]/.test(host);
}
