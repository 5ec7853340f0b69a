import { decodeRendezvous, type SocketAddress, Subprotocol } from "@netmesh/wire";
import type { ConnectionAttempt, ConnectionTally } from "./connection-tally.ts";
import {
  type ConnectionCounters,
  type ConnectionOutcome,
  DirectConnector,
  type DirectTarget,
} from "./direct-connector.ts";
import { HolePuncher, type PunchCounters } from "./hole-puncher.ts";
import { type CandidateCounters, LocalCandidates } from "./local-candidates.ts";
import type { NatClass } from "./nat-class.ts";
import { NatSweeper } from "./nat-sweeper.ts";
import { PathUpgrader } from "./path-upgrader.ts";
import type { MappingSink, PortMappingStats } from "./port-mapping/mapping-sink.ts";
import { PortSearch, type PortSearchCounters } from "./port-search.ts";
import type { RandomSource } from "./random-source.ts";
import { Reachability } from "./reachability.ts";
import { ReflexProber } from "./reflex-prober.ts";
import { type CoordinatorCounters, RendezvousCoordinator } from "./rendezvous-coordinator.ts";
import { DEFAULT_TRAVERSAL_SETTINGS, type TraversalSettings } from "./settings.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** Figures of traversal (traversal §3), and of what this node does for others. */
export interface TraversalStats extends Readonly<ConnectionCounters>, Readonly<PortMappingStats> {
  /** Attempts to reach peers without a relay, by pair of NAT classes and by what came of them. */
  readonly attempts: readonly ConnectionTally[];
  readonly coordinator: Readonly<CoordinatorCounters>;
  readonly puncher: Readonly<PunchCounters>;
  readonly portSearch: Readonly<PortSearchCounters>;
  readonly candidates: Readonly<CandidateCounters>;
  /** Messages of peers that were none, or that nobody waited for. */
  readonly ignored: number;
}

/** Settings of {@link Traversal}. */
export interface TraversalOptions extends Partial<TraversalSettings> {
  readonly host: TraversalHost;
  readonly timers: Timers;
  readonly random: RandomSource;
  /** Told after class or address have changed. */
  readonly onChanged?: () => void;
  /** Told of every attempt to reach a peer without a relay, when it has come to an end. */
  readonly onAttempt?: (attempt: ConnectionAttempt) => void;
}

/** Everything a node does to be reached without relays, and to reach others so. */
export class Traversal {
  readonly #host: TraversalHost;
  readonly #reachability: Reachability;
  readonly #prober: ReflexProber;
  readonly #sweeper: NatSweeper;
  readonly #coordinator: RendezvousCoordinator;
  readonly #search: PortSearch;
  readonly #candidates: LocalCandidates;
  readonly #puncher: HolePuncher;
  readonly #connector: DirectConnector;
  readonly #upgrader: PathUpgrader;
  #ignored = 0;

  constructor(options: TraversalOptions) {
    const { host, timers, random, onChanged } = options;
    const settings = { ...DEFAULT_TRAVERSAL_SETTINGS, ...options };
    const reachability = new Reachability((atOnce) => {
      host.publish(reachability.natClass, reachability.reflex, atOnce);
      onChanged?.();
    });
    const prober = new ReflexProber(host, timers, settings.reflexTimeoutMs);
    const search = new PortSearch(host, timers, random, () => reachability.natClass);
    const candidates = new LocalCandidates(
      host,
      timers,
      settings.sharesLocalAddresses,
      () => reachability.reflex,
    );
    const puncher = new HolePuncher(host, timers, settings, search, candidates);
    this.#host = host;
    this.#reachability = reachability;
    this.#prober = prober;
    this.#sweeper = new NatSweeper({ host, timers, random, settings, prober, reachability });
    this.#coordinator = new RendezvousCoordinator(host, timers, settings.punchFireLeadMs);
    this.#search = search;
    this.#candidates = candidates;
    this.#puncher = puncher;
    this.#connector = new DirectConnector({
      host,
      timers,
      reachability,
      prober,
      puncher,
      candidates,
      onAttempt: (attempt) => options.onAttempt?.(attempt),
      introductionMs: settings.punchDeadlineMs,
    });
    this.#upgrader = new PathUpgrader(host, timers, this.#connector);
  }

  /** The class of this node's NAT, as far as it is known. */
  get natClass(): NatClass {
    return this.#reachability.natClass;
  }

  /** Where others see this node, as far as it is known. */
  get reflex(): SocketAddress | undefined {
    return this.#reachability.reflex;
  }

  /** Where a port mapping tells what it did. */
  get mapping(): MappingSink {
    return this.#reachability.mapping;
  }

  /** Figures so far. */
  get stats(): TraversalStats {
    return {
      ...this.#connector.counters,
      ...this.#reachability.portMapping,
      attempts: this.#connector.tallies.all,
      coordinator: { ...this.#coordinator.counters },
      puncher: { ...this.#puncher.counters },
      portSearch: { ...this.#search.counters },
      candidates: { ...this.#candidates.counters },
      ignored: this.#ignored + this.#prober.ignored,
    };
  }

  /** Begins to find out the class of this node's NAT, as soon as there are peers to ask. */
  start(): void {
    this.#sweeper.start();
  }

  /** Ends everything; what waits is rejected. */
  close(): void {
    this.#sweeper.close();
    this.#upgrader.close();
    this.#candidates.close();
    this.#puncher.close();
    this.#prober.close();
  }

  /** Asks a peer where it sees this node. Rejects with `peer-not-reachable`, `reflex-timeout`, `transport`. */
  probeReflex(peer: bigint): Promise<SocketAddress> {
    return this.#prober.probe(peer);
  }

  /** Finds out the class anew; changes nothing with fewer than two direct peers. Never rejects. */
  reclassify(): Promise<void> {
    return this.#sweeper.sweep();
  }

  /** Says that this node is open under that address, whatever is found out, until it is taken back. */
  setReflexOverride(address: SocketAddress): void {
    this.#reachability.setOverride(address);
  }

  /** Takes it back; false when there was nothing to take back. */
  clearReflexOverride(): boolean {
    return this.#reachability.clearOverride();
  }

  /** For tests: a class as if a sweep had found it. */
  forceClass(natClass: NatClass): void {
    this.#reachability.force(natClass);
  }

  /**
   * Connects without a relay where that can be done, asking the coordinators in their order; default: this node's direct peers. Rejects
   * with `peer-not-reachable` when there is nobody to ask, `transport` when no session comes about.
   */
  connectDirect(target: DirectTarget, coordinators: readonly bigint[] = []): Promise<ConnectionOutcome> {
    return this.#connector.connect(target, coordinators);
  }

  /** Looks for a direct path to a peer in the background. */
  upgrade(target: DirectTarget, coordinators?: readonly bigint[]): void {
    this.#upgrader.add(target, coordinators);
  }

  // What the node tells

  /** A message of a peer under `0x0D00` or `0x0D01` has come. */
  receive(from: bigint, subprotocolId: number, bytes: Uint8Array): void {
    if (subprotocolId === Subprotocol.REFLEX) {
      this.#prober.receive(from, bytes);
      return;
    }
    const message = decodeRendezvous(bytes);
    switch (message?.type) {
      case "punch-request":
        this.#coordinator.receive(from, message);
        return;
      case "punch-introduce":
        this.#puncher.introduced(from, message);
        return;
      case "punch-reject":
        this.#puncher.rejected(from, message);
        return;
      case "punch-ack":
        if (message.to === this.#host.nodeId) this.#puncher.acked(from, message);
        else this.#coordinator.forward(from, message);
        return;
      case "punch-candidates":
        this.#candidates.receive(from, message);
        return;
      default:
        this.#ignored++;
    }
  }

  /** A keep-alive of an awaited node has come, or of somebody who claims to be it. */
  keepAlive(nodeId: bigint, punchId: number, source: SocketAddress): void {
    this.#puncher.heard(nodeId, punchId, source);
  }

  /** Packets of a session take another path. */
  pathChanged(nodeId: bigint, address: SocketAddress, isDirect: boolean): void {
    this.#puncher.pathChanged(nodeId, address, isDirect);
    this.#connector.pathChanged(nodeId, isDirect);
  }
}
