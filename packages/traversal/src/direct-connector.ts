import type { SocketAddress } from "@netmesh/wire";
import { type ConnectionAttempt, ConnectionTallies } from "./connection-tally.ts";
import type { HolePuncher } from "./hole-puncher.ts";
import type { LocalCandidates } from "./local-candidates.ts";
import { pairAction } from "./pair-matrix.ts";
import type { PunchReason } from "./punch-attempt.ts";
import type { Reachability } from "./reachability.ts";
import type { ReflexProber } from "./reflex-prober.ts";
import type { Timers } from "./timers.ts";
import { TraversalError } from "./traversal-error.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** How a peer is reached: at an address that was open to this node, at one that took a punch, over a relay. */
export type ConnectionPath = "direct" | "punched" | "relayed";

/** Why it is reached that way; stable. */
export type ConnectionReason =
  | PunchReason
  /** It was so before. */
  | "already-direct"
  /** The peer's own address has answered, or has not. */
  | "direct-answered"
  | "direct-silent"
  /** Two NATs of which none can be punched. */
  | "no-way";

/** What came of looking for a direct path. */
export interface ConnectionOutcome {
  readonly path: ConnectionPath;
  readonly reason: ConnectionReason;
}

/** A node to connect to; the key is only needed where a handshake is. */
export interface DirectTarget {
  readonly nodeId: bigint;
  /** Its Noise public key, 32 bytes. */
  readonly publicKey: Uint8Array | undefined;
}

/** Outcomes of direct connections, which only grow (traversal §3). */
export interface ConnectionCounters {
  /** Punches whose introduction came. */
  punchesAttempted: number;
  /** Those of them after which the session uses the punched path. */
  punchesSucceeded: number;
  /** Calls that ended on a relayed path that works. */
  relayFallbacks: number;
}

/** Pause between questions over a peer's own address, and how long they go on, in milliseconds. */
const ASK_EVERY_MS = 250;
const ASK_FOR_MS = 1_000;
/** How long a coordinator is waited for when there is another one: the request and its repetition. */
const NEXT_COORDINATOR_MS = 2_000;

/** What connecting needs. */
export interface DirectConnectorParts {
  readonly host: TraversalHost;
  readonly timers: Timers;
  readonly reachability: Reachability;
  readonly prober: ReflexProber;
  readonly puncher: HolePuncher;
  readonly candidates: LocalCandidates;
  /** Told of every attempt that has come to an end. */
  readonly onAttempt: (attempt: ConnectionAttempt) => void;
  /** How long a coordinator may take to introduce, in milliseconds. */
  readonly introductionMs: number;
}

/**
 * Finds the shortest path to a peer (traversal §11). The relayed session comes first and stays until a better path has been
 * proven: nothing is lost by trying.
 */
export class DirectConnector {
  readonly counters: ConnectionCounters = { punchesAttempted: 0, punchesSucceeded: 0, relayFallbacks: 0 };
  readonly tallies: ConnectionTallies = new ConnectionTallies();
  readonly #parts: DirectConnectorParts;
  /** Calls under way, which later ones for the same peer join. */
  readonly #running = new Map<bigint, Promise<ConnectionOutcome>>();
  /** Who waits for a peer's path to change. */
  readonly #moved = new Map<bigint, (isDirect: boolean) => void>();

  constructor(parts: DirectConnectorParts) {
    this.#parts = parts;
  }

  /**
   * Connects to a peer, or finds a session with it a shorter path. Coordinators are asked in their order; without any, the relay of
   * the present session, then other direct peers. Rejects with `peer-not-reachable` when there is nobody to ask and `transport` when
   * no session comes about.
   */
  connect(target: DirectTarget, coordinators: readonly bigint[]): Promise<ConnectionOutcome> {
    const { nodeId } = target;
    let running = this.#running.get(nodeId);
    if (running === undefined) {
      running = this.#attempt(target, coordinators).finally(() => this.#running.delete(nodeId));
      this.#running.set(nodeId, running);
    }
    return running;
  }

  /** The session's packets take another path. */
  pathChanged(nodeId: bigint, isDirect: boolean): void {
    this.#moved.get(nodeId)?.(isDirect);
  }

  /** Connects, and takes down what came of it. */
  async #attempt(target: DirectTarget, given: readonly bigint[]): Promise<ConnectionOutcome> {
    const { host, reachability, timers, onAttempt } = this.#parts;
    const { nodeId } = target;
    const startMs = timers.now();
    const pair = { nodeId, own: reachability.natClass, remote: host.natClassOf(nodeId) };
    const end = (result: Pick<ConnectionAttempt, "path" | "reason">) => {
      const attempt = { ...pair, ...result, durationMs: timers.now() - startMs };
      this.tallies.add(attempt);
      onAttempt(attempt);
    };
    try {
      const outcome = await this.#connect(target, given);
      end(outcome);
      return outcome;
    } catch (error) {
      end({ path: "none", reason: error instanceof TraversalError ? error.kind : "transport" });
      throw error;
    }
  }

  async #connect(target: DirectTarget, given: readonly bigint[]): Promise<ConnectionOutcome> {
    const { host, reachability } = this.#parts;
    const { nodeId } = target;
    if (host.peer(nodeId)?.isDirect === true) return { path: "direct", reason: "already-direct" };
    const action = pairAction(reachability.natClass, host.natClassOf(nodeId));
    if (action === "direct") {
      const reflex = host.reflexOf(nodeId);
      const coordinators = this.#coordinators(nodeId, given);
      if (reflex === undefined && coordinators.length === 0 && host.peer(nodeId) === undefined) {
        throw new TraversalError(
          "peer-not-reachable",
          "the peer's address is not known, and nobody can be asked",
        );
      }
      // Behind a NAT its address may not answer, which takes a handshake long to find out.
      if (host.natClassOf(nodeId) !== "open" && coordinators.length > 0)
        await this.#relay(target, coordinators);
      if (reflex !== undefined && (await this.#reach(target, reflex))) {
        return { path: "direct", reason: this.#isLocal(nodeId) ? "local-answered" : "direct-answered" };
      }
      if (host.peer(nodeId) === undefined && coordinators.length === 0) {
        throw new TraversalError("transport", "the peer's address does not answer, and there is no relay");
      }
      await this.#relay(target, coordinators);
      const silent: ConnectionReason = "direct-silent";
      // Somebody is wrong about its NAT: a punch may still help.
      const reason = coordinators.length === 0 ? silent : await this.#punch(target, coordinators);
      const isDirect = reason === "punched" || reason === "local-answered";
      // Without an announced address it is the punch that says why.
      return this.#concluded(isDirect || reflex === undefined ? reason : silent);
    }
    const coordinators = this.#coordinators(nodeId, given);
    if (coordinators.length === 0) {
      throw new TraversalError("peer-not-reachable", "there is no session with a coordinator");
    }
    await this.#relay(target, coordinators);
    if (action === "skip") return this.#concluded("no-way");
    const reason = await this.#punch(target, coordinators);
    return this.#concluded(reason);
  }

  #concluded(reason: ConnectionReason): ConnectionOutcome {
    if (reason === "local-answered") return { path: "direct", reason };
    if (reason === "punched") {
      this.counters.punchesSucceeded++;
      return { path: "punched", reason };
    }
    this.counters.relayFallbacks++;
    return { path: "relayed", reason };
  }

  /** Whether the session uses an address of the peer's own host that the peer has told. */
  #isLocal(nodeId: bigint): boolean {
    const peer = this.#parts.host.peer(nodeId);
    return peer?.isDirect === true && this.#parts.candidates.has(nodeId, peer.address);
  }

  /** Those of the coordinators that are there; by default the relay in use and then every direct peer, three in all. */
  #coordinators(nodeId: bigint, given: readonly bigint[]): readonly bigint[] {
    const { host } = this.#parts;
    if (given.length > 0) return given.filter((id) => id !== nodeId && host.peer(id) !== undefined);
    const relay = host.peer(nodeId)?.address;
    const direct = [...host.peers()].filter((peer) => peer.isDirect && peer.nodeId !== nodeId);
    const isRelay = (address: SocketAddress) => relay?.equals(address) === true;
    const isOpen = (id: bigint) => host.natClassOf(id) === "open";
    direct.sort(
      (a, b) =>
        Number(isRelay(b.address)) - Number(isRelay(a.address)) ||
        Number(isOpen(b.nodeId)) - Number(isOpen(a.nodeId)) ||
        (a.roundTripMs ?? 0) - (b.roundTripMs ?? 0),
    );
    return direct.slice(0, 3).map((peer) => peer.nodeId);
  }

  /** Whether a session over the peer's own address works, an existing one or a new one. */
  async #reach(target: DirectTarget, address: SocketAddress): Promise<boolean> {
    const { host } = this.#parts;
    const peer = host.peer(target.nodeId);
    return peer?.movesPaths === true
      ? await this.#ask(target.nodeId, address)
      : await this.#shake(target, address);
  }

  async #shake({ nodeId, publicKey }: DirectTarget, via: SocketAddress): Promise<boolean> {
    if (publicKey === undefined) return false;
    return await this.#parts.host.connect({ nodeId, publicKey }, via).then(
      () => true,
      () => false,
    );
  }

  /** Asks over the address until the session moves there. */
  #ask(nodeId: bigint, address: SocketAddress): Promise<boolean> {
    const { host, timers } = this.#parts;
    const startMs = timers.now();
    return new Promise((resolve) => {
      let handle: unknown;
      const end = (isDirect: boolean) => {
        timers.cancel(handle);
        this.#moved.delete(nodeId);
        resolve(isDirect);
      };
      const turn = () => {
        if (timers.now() - startMs >= ASK_FOR_MS || !host.tryPath(nodeId, address)) {
          end(host.peer(nodeId)?.isDirect === true);
          return;
        }
        handle = timers.after(ASK_EVERY_MS, turn);
      };
      this.#moved.set(nodeId, (isDirect) => {
        if (isDirect) end(true);
      });
      turn();
    });
  }

  /** Sees to it that there is a session, and looks for a short way in its shelter. */
  async #relay(target: DirectTarget, coordinators: readonly bigint[]): Promise<void> {
    const { host, candidates } = this.#parts;
    if (host.peer(target.nodeId) === undefined) await this.#relayOver(target, coordinators);
    candidates.offer(target.nodeId);
  }

  /** Makes a session over the first coordinator that leads to the peer. */
  async #relayOver({ nodeId, publicKey }: DirectTarget, coordinators: readonly bigint[]): Promise<void> {
    const { host } = this.#parts;
    if (publicKey === undefined) throw new TraversalError("transport", "the peer's key is not known");
    let cause: unknown;
    for (const id of coordinators) {
      const relay = host.peer(id);
      if (relay === undefined) continue;
      try {
        await host.connect({ nodeId, publicKey }, relay.address);
        return;
      } catch (error) {
        cause = error;
      }
    }
    const detail = cause instanceof Error ? cause.message : "no relay leads to the peer";
    throw new TraversalError("transport", detail, { cause });
  }

  /** Punches with the help of one coordinator after the other, until one has brought the two ends together. */
  async #punch(target: DirectTarget, coordinators: readonly bigint[]): Promise<PunchReason> {
    const { puncher, introductionMs } = this.#parts;
    let reason: PunchReason = "no-introduction";
    for (const [i, coordinator] of coordinators.entries()) {
      const ownReflex = await this.#ownReflex(coordinator);
      if (this.#isLocal(target.nodeId)) return "local-answered";
      if (ownReflex === undefined) continue;
      const isLast = i === coordinators.length - 1;
      const waitMs = isLast ? introductionMs : Math.min(introductionMs, NEXT_COORDINATOR_MS);
      const outcome = await puncher.punch(target.nodeId, coordinator, ownReflex, waitMs);
      ({ reason } = outcome);
      if (reason === "local-answered") return reason;
      if (outcome.wasAttempted) this.counters.punchesAttempted++;
      else if (reason === "punched") return reason;
      else continue;
      if (reason === "heard" && outcome.address !== undefined) {
        if (!(await this.#shake(target, outcome.address))) return "unproven";
        this.#parts.host.punched(target.nodeId, outcome.address);
        return "punched";
      }
      break;
    }
    return reason;
  }

  /** Where the coordinator sees this node now; as far as it tells, else where others have (T23). */
  async #ownReflex(coordinator: bigint): Promise<SocketAddress | undefined> {
    const { reachability, prober } = this.#parts;
    const { reflex, isPinned, natClass } = reachability;
    if (reflex !== undefined && (isPinned || natClass === "open" || natClass === "cone")) return reflex;
    return await prober.learn(coordinator).catch(() => reflex);
  }
}
