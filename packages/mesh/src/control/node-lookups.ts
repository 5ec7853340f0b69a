import {
  decodeNodeLookup,
  encodeNodeLookup,
  high32,
  low32,
  NETMESH_CONTROL,
  type NodeLookup,
  NodeLookupKind,
  nodeLookupSignedBytes,
  PeerFeature,
  readU32,
  type SocketAddress,
} from "@netmesh/wire";
import { isLookupValid } from "../capability/announcement-checks.ts";
import type { Signer } from "../core/config.ts";
import type { Alarm, CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import { OperationBudget } from "../rekey/operation-budget.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import type { Session } from "../session/session.ts";
import type { Discovery } from "./discovery.ts";
import { LookupTable, type PassedLookup } from "./lookup-table.ts";
import type { Neighbor } from "./neighbors.ts";

/** How far one request after the other is given to everybody; behind that it follows routes. */
const RINGS: readonly number[] = [2, 4, 5, 6, 8, 12];
/** Hops of the longest way that a lookup finds: handshakes make no more. */
const MAX_HOPS = 16;
/** An answer is waited for so long, and so much longer for each hop that the request may make. */
const RING_MS = 200;
const RING_HOP_MS = 50;
/** Lookups of this node under way at once. */
const MAX_OWN = 64;
/** Requests and answers of one neighbour that are worked on in a second, and of all. */
const PER_NEIGHBOR_PER_SECOND = 64;
const PER_SECOND = 512;
/** Signatures made and verified in a second. */
const SIGNATURES_PER_SECOND = 128;
/** Answers to one request that are looked at: better ones may follow the first. */
const MAX_ANSWERS = 4;
/** Requests of others that are remembered, more than can come in their lifetime. */
const MAX_PASSED = 8_192;
/** How far clocks may be apart, and how long a signed request can be repeated by others. */
const CLOCK_SKEW_S = 600;
/** Ways that a lookup has found are looked for again so often while a session takes them. */
const RENEW_MS = 60_000;
/** Sessions whose way is looked for again in one turn. */
const RENEWALS_PER_TURN = 64;
/** The least pause between two lookups of one node for the sake of a failing path. */
const REPAIR_PAUSE_MS = 5_000;

/** A lookup of this node. */
interface OwnLookup {
  readonly targetId: bigint;
  /** Whether the application wants to know. */
  isWanted: boolean;
  /** Which of the rings is asked. */
  ring: number;
  /** When it is given up, or the next ring asked. */
  dueMs: number;
}

/**
 * Finds the way to nodes that are farther than floods reach (docs/protocol/scaling.md): asks in rings that grow, until the request
 * comes to a node that knows the way; from there it follows routes to the target, whose signed answer goes back and leaves the
 * way in both directions. Works between netmesh neighbours, and costs nothing while nobody is looked for.
 */
export class NodeLookups implements Alarm, PeerObserver {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #discovery: Discovery;
  readonly #passed = new LookupTable(MAX_PASSED);
  readonly #own = new Map<bigint, OwnLookup>();
  /** When a lookup repaired the path to a node last; the oldest of 1024 makes room. */
  readonly #repairs = new Map<bigint, number>();
  readonly #total = new OperationBudget(PER_SECOND);
  readonly #signatures = new OperationBudget(SIGNATURES_PER_SECOND);
  readonly #perNeighbor = new WeakMap<Session, OperationBudget>();
  readonly #random = new Uint8Array(4);
  #renewMs: number;

  constructor(state: CoreState, writer: PacketWriter, discovery: Discovery) {
    this.#state = state;
    this.#writer = writer;
    this.#discovery = discovery;
    this.#renewMs = state.nowMs + RENEW_MS;
    state.alarms.schedule(this, this.#renewMs);
  }

  /**
   * Looks for a node; `node-found` or `node-not-found` follows. Does nothing while that is under way. Throws `config` without an
   * identity, `invalid-argument` for this node itself and when 64 nodes are looked for.
   */
  start(targetId: bigint): void {
    const { config } = this.#state;
    if (config.identity === undefined)
      throw new MeshError("config", "this node has no identity to look with");
    if (targetId === config.nodeId) throw new MeshError("invalid-argument", "this node is here");
    const known = this.#own.get(targetId);
    if (known !== undefined) {
      known.isWanted = true;
      return;
    }
    if (this.#own.size >= MAX_OWN) {
      throw new MeshError("invalid-argument", `at most ${MAX_OWN} nodes can be looked for at once`, MAX_OWN);
    }
    this.#begin(targetId, true);
  }

  #begin(targetId: bigint, isWanted: boolean): void {
    const { nowMs, alarms } = this.#state;
    this.#own.set(targetId, { targetId, isWanted, ring: -1, dueMs: nowMs });
    alarms.hasten(this, nowMs);
  }

  /** Looks for another way to a peer whose path is in doubt, unless that was done a moment ago. */
  repair(targetId: bigint): void {
    const { nowMs, config } = this.#state;
    const lastMs = this.#repairs.get(targetId) ?? Number.NEGATIVE_INFINITY;
    if (config.identity === undefined || this.#discovery.isNear(targetId)) return;
    if (nowMs - lastMs < REPAIR_PAUSE_MS || this.#own.has(targetId) || this.#own.size >= MAX_OWN) return;
    this.#repairs.delete(targetId);
    if (this.#repairs.size >= 1_024) this.#repairs.delete(this.#repairs.keys().next().value as bigint);
    this.#repairs.set(targetId, nowMs);
    this.#begin(targetId, false);
  }

  /** A peer that was found before there was a session: its packets have as far to go. */
  onConnected({ peer, path }: Session): void {
    if (!path.routed) return;
    const [nearest] = this.#state.nextHops.of(peer.nodeId);
    peer.distance = nearest === undefined ? 0 : nearest.metric - 1;
  }

  onRemoved({ nodeId }: Peer): void {
    this.#repairs.delete(nodeId);
  }

  ring(): void {
    const { nowMs, alarms } = this.#state;
    for (const own of this.#own.values()) if (own.dueMs <= nowMs) this.#nextRing(own);
    if (nowMs >= this.#renewMs) {
      this.#renewMs = nowMs + RENEW_MS;
      this.#renew();
    }
    let next = this.#renewMs;
    for (const { dueMs } of this.#own.values()) next = Math.min(next, dueMs);
    alarms.schedule(this, next);
  }

  /** Takes a request or an answer of a neighbour. */
  receive(session: Session, event: Uint8Array): void {
    const { counters, nowMs, neighbors } = this.#state;
    const neighbor = neighbors.get(session.peer.nodeId);
    if (neighbor?.session !== session) {
      counters.lookupRefused++;
      return;
    }
    if (!this.#mayWork(session)) {
      counters.lookupLimited++;
      return;
    }
    const lookup = decodeNodeLookup(event);
    if (lookup === undefined) {
      counters.controlMalformed++;
      return;
    }
    if (lookup.hops >= MAX_HOPS) {
      counters.lookupExhausted++;
      return;
    }
    if (lookup.kind === NodeLookupKind.REQUEST) this.#onRequest(neighbor, lookup, nowMs);
    else this.#onAnswer(neighbor, lookup, nowMs);
  }

  #onRequest(from: Neighbor, request: NodeLookup, nowMs: number): void {
    const { counters, config } = this.#state;
    const { originId, targetId, id, entityId, signature, timeSeconds } = request;
    if (originId === config.nodeId || this.#passed.get(originId, id, nowMs) !== undefined) {
      counters.lookupRepeated++;
      return;
    }
    const hops = request.hops + 1;
    const passed: PassedLookup = {
      originId,
      targetId,
      id,
      from: from.session,
      hops,
      entityId,
      signature,
      timeSeconds,
      atMs: nowMs,
      asked: [],
      bestHops: Number.POSITIVE_INFINITY,
      answers: 0,
    };
    this.#passed.add(passed);
    if (targetId === config.nodeId) this.#answer(from, passed);
    else this.#passOn(passed, request, from);
  }

  /** Along the route where there is a fresh one; else to every neighbour, as long as the request is meant to be. */
  #passOn(passed: PassedLookup, request: NodeLookup, from: Neighbor | undefined): void {
    const { counters } = this.#state;
    const route = this.#knownHop(passed.targetId, request.isDirected);
    const next: NodeLookup = {
      ...request,
      hops: passed.hops,
      ttl: Math.max(0, Math.min(MAX_HOPS, request.ttl) - 1),
    };
    if (route !== undefined && route !== from) {
      this.#ask(route, passed, next);
      return;
    }
    if (request.isDirected || request.ttl === 0) {
      counters.lookupExhausted++;
      return;
    }
    for (const neighbor of this.#state.neighbors) if (neighbor !== from) this.#ask(neighbor, passed, next);
  }

  #ask(neighbor: Neighbor, passed: PassedLookup, request: NodeLookup): void {
    const { session } = neighbor;
    if (neighbor.isDown || !session.isConfirmed || !session.has(PeerFeature.SCOPED_FLOODS)) return;
    if (!this.#send(session, request)) return;
    passed.asked.push(session);
    this.#state.counters.lookupRequestsSent++;
  }

  /** The neighbour on the way to a node: by a pingwave of the last moments, or by whatever route there is. */
  #knownHop(nodeId: bigint, isAnyRouteGood: boolean): Neighbor | undefined {
    const { neighbors, routes, nowMs } = this.#state;
    const direct = neighbors.get(nodeId);
    if (direct !== undefined && !direct.isDown) return direct;
    if (!isAnyRouteGood && !this.#discovery.isNear(nodeId)) return undefined;
    const address = routes.lookupId(nodeId, nowMs);
    const hop = address && neighbors.at(address);
    return hop?.isDown === false ? hop : undefined;
  }

  /** The target is this node: it says so, and knows the way back from now on. */
  #answer(from: Neighbor, passed: PassedLookup): void {
    const { config, counters } = this.#state;
    const { originId, targetId, id, timeSeconds } = passed;
    if (config.identity === undefined || !this.#isGenuine(passed)) return;
    const kind = NodeLookupKind.ANSWER;
    this.#learn(originId, from, passed.hops);
    const signature = config.identity.sign(nodeLookupSignedBytes(kind, id, timeSeconds, originId, targetId));
    const { entityId } = config.identity;
    const answer = {
      kind,
      ttl: 0,
      hops: 0,
      isDirected: false,
      id,
      timeSeconds,
      originId,
      targetId,
      entityId,
      signature,
    };
    if (this.#send(from.session, answer)) counters.lookupAnswersSent++;
  }

  #onAnswer(from: Neighbor, answer: NodeLookup, nowMs: number): void {
    const { counters, neighbors } = this.#state;
    const { originId, targetId, id } = answer;
    const passed = this.#passed.get(originId, id, nowMs);
    if (passed === undefined || passed.targetId !== targetId || !passed.asked.includes(from.session)) {
      counters.lookupUnsolicited++;
      return;
    }
    const hops = answer.hops + 1;
    if (passed.answers >= MAX_ANSWERS || hops >= passed.bestHops) {
      counters.lookupRepeated++;
      return;
    }
    if (!this.#mayVerify()) return;
    passed.answers++;
    if (!isLookupValid(answer, targetId)) {
      counters.lookupForged++;
      return;
    }
    if (passed.from !== undefined && passed.bestHops === Number.POSITIVE_INFINITY && !this.#isGenuine(passed))
      return;
    passed.bestHops = hops;
    this.#learn(targetId, from, hops);
    if (passed.from === undefined) {
      this.#onFound(targetId, from.address, hops);
      return;
    }
    const back = neighbors.get(passed.from.peer.nodeId);
    if (back?.session !== passed.from) return;
    this.#learn(originId, back, passed.hops);
    if (this.#send(back.session, { ...answer, hops })) counters.lookupAnswersSent++;
  }

  /** Whether the origin has signed the request, lately. */
  #isGenuine({ originId, targetId, id, timeSeconds, entityId, signature }: PassedLookup): boolean {
    const { counters, config } = this.#state;
    if (Math.abs(config.systemTime.now() / 1_000 - timeSeconds) > CLOCK_SKEW_S) {
      counters.lookupForged++;
      return false;
    }
    if (!this.#mayVerify()) return false;
    const kind = NodeLookupKind.REQUEST;
    if (isLookupValid({ kind, originId, targetId, id, timeSeconds, entityId, signature }, originId))
      return true;
    counters.lookupForged++;
    return false;
  }

  /** Notes the way to a node; pingwaves of the last moments know better. */
  #learn(nodeId: bigint, via: Neighbor, hops: number): void {
    const { routes, nextHops, nowMs, peers } = this.#state;
    const metric = hops + 1;
    const [lo, hi] = [low32(nodeId), high32(nodeId)];
    nextHops.note(lo, hi, via.nodeId, metric, nowMs);
    const peer = peers.getId(nodeId);
    if (peer !== undefined) peer.distance = hops;
    if (!this.#discovery.isNear(nodeId)) {
      routes.offerRoute(lo, hi, via.address, metric, this.#discovery.confirmWithinMs, nowMs);
    }
  }

  #onFound(nodeId: bigint, via: SocketAddress, hops: number): void {
    const own = this.#own.get(nodeId);
    if (own === undefined) return;
    this.#own.delete(nodeId);
    this.#state.counters.lookupsFound++;
    if (own.isWanted) this.#state.emit({ type: "node-found", nodeId, via, hops });
  }

  #nextRing(own: OwnLookup): void {
    const { nowMs, counters } = this.#state;
    const { targetId } = own;
    own.ring++;
    const known = own.ring === 0 ? this.#knownHop(targetId, false) : undefined;
    if (known?.nodeId === targetId) {
      this.#onFound(targetId, known.address, 1);
      return;
    }
    const ttl = RINGS[own.ring];
    if (ttl === undefined) {
      this.#own.delete(targetId);
      counters.lookupsFailed++;
      if (own.isWanted) this.#state.emit({ type: "node-not-found", nodeId: targetId });
      return;
    }
    own.dueMs =
      nowMs + RING_MS + 2 * RING_HOP_MS * Math.min(MAX_HOPS, ttl + this.#state.config.discoveryHops + 1);
    this.#request(targetId, ttl, false);
  }

  #request(targetId: bigint, ttl: number, isDirected: boolean): void {
    const { config, nowMs } = this.#state;
    const signer = config.identity as Signer;
    config.random.fill(this.#random);
    const id = readU32(this.#random, 0);
    const timeSeconds = Math.floor(Math.max(0, config.systemTime.now()) / 1_000);
    const { nodeId: originId } = config;
    const { entityId } = signer;
    const kind = NodeLookupKind.REQUEST;
    const signature = signer.sign(nodeLookupSignedBytes(kind, id, timeSeconds, originId, targetId));
    const request: NodeLookup = {
      kind,
      ttl,
      hops: 0,
      isDirected,
      id,
      timeSeconds,
      originId,
      targetId,
      entityId,
      signature,
    };
    const passed: PassedLookup = {
      ...request,
      from: undefined,
      atMs: nowMs,
      asked: [],
      bestHops: Number.POSITIVE_INFINITY,
      answers: 0,
    };
    this.#passed.add(passed);
    this.#passOn(passed, request, undefined);
  }

  /** Keeps the ways of sessions with far nodes from growing old on the relays between. */
  #renew(): void {
    let turns = 0;
    if (this.#state.config.identity === undefined) return;
    for (const { session, nodeId } of this.#state.peers) {
      if (turns >= RENEWALS_PER_TURN) return;
      // One end is enough: the way is renewed in both directions.
      if (session?.path.routed !== true || session.isSilent || session.role !== "initiator") continue;
      if (this.#discovery.isNear(nodeId)) continue;
      turns++;
      this.#request(nodeId, 0, true);
    }
  }

  #send(session: Session, lookup: NodeLookup): boolean {
    return this.#writer.sendControl(session, NETMESH_CONTROL, [encodeNodeLookup(lookup)]);
  }

  #mayWork(session: Session): boolean {
    const { nowMs } = this.#state;
    let own = this.#perNeighbor.get(session);
    if (own === undefined) {
      own = new OperationBudget(PER_NEIGHBOR_PER_SECOND);
      this.#perNeighbor.set(session, own);
    }
    if (!own.has(nowMs) || !this.#total.has(nowMs)) return false;
    own.spend(nowMs);
    this.#total.spend(nowMs);
    return true;
  }

  #mayVerify(): boolean {
    const { nowMs, counters } = this.#state;
    if (!this.#signatures.has(nowMs)) {
      counters.lookupLimited++;
      return false;
    }
    this.#signatures.spend(nowMs);
    return true;
  }
}
