import { bytesToHex } from "@netmesh/crypto";
import {
  type CapabilityAnnouncement,
  decodeCapabilityAnnouncement,
  encodeCapabilityAnnouncement,
  high32,
  low32,
  PeerFeature,
  Subprotocol,
} from "@netmesh/wire";
import type { Alarm, CoreState } from "../core/state.ts";
import { OperationBudget } from "../rekey/operation-budget.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Peer } from "../session/peer.ts";
import type { PeerObserver } from "../session/peer-observer.ts";
import type { Session } from "../session/session.ts";
import type { Subnets } from "../subnet/subnets.ts";
import { isSignatureValid, nodeIdOf, sanitize } from "./announcement-checks.ts";
import type { Announcer } from "./announcer.ts";
import type { CapabilityFilter, CapabilityRequirement } from "./capability-filter.ts";
import { type CapabilityIndex, IndexedNode } from "./capability-index.ts";
import { admitsScope, type CapabilityScope } from "./capability-scope.ts";
import { SeenVersions } from "./seen-versions.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "./validate-capabilities.ts";

/** Hops after which an announcement is taken, and not passed on. */
const LAST_HOP = 15;
/** Metric of the route that an announcement offers, beyond its hops. */
const METRIC_OFFSET = 2;
/** What is passed on may be so old: its author has sent it a moment ago. */
const MAX_AGE_MS = 3_600_000;
/** How far clocks may be apart. */
const CLOCK_SKEW_MS = 600_000;
/** No announcement counts for longer, whatever it says. */
const MAX_TTL_MS = 24 * 3_600_000;
/** Announcements of one peer worked on per second, and of all peers: each costs a verification. */
const PER_PEER_PER_SECOND = 64;
const PER_SECOND = 512;
/** Announcements of others that a peer is given when it comes: those refreshed last. */
const SHARED_ON_CONNECT = 64;

const SUBNET_TAG = "subnet:";
const GROUP_TAG = "group:";

/** Takes, checks, indexes and passes on what other nodes announce (spec/mesh.md §§9.4–9.6). */
export class CapabilityExchange implements PeerObserver, Alarm {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly index: CapabilityIndex;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #announcer: Announcer;
  readonly #subnets: Subnets;
  readonly #seen: SeenVersions;
  readonly #total = new OperationBudget(PER_SECOND);
  readonly #perPeer = new WeakMap<Session, OperationBudget>();

  constructor(
    state: CoreState,
    writer: PacketWriter,
    announcer: Announcer,
    index: CapabilityIndex,
    subnets: Subnets,
  ) {
    this.#subnets = subnets;
    this.index = index;
    this.#state = state;
    this.#writer = writer;
    this.#announcer = announcer;
    this.#seen = new SeenVersions(state.config.maxIndexedNodes);
  }

  ring(): void {
    this.#state.counters.announcementsExpired += this.index.sweep(this.#state.nowMs);
    this.#state.alarms.schedule(this, this.index.nextExpiryMs);
  }

  onConnected(session: Session): void {
    this.#announcer.push(session);
    this.#share(session);
  }

  /** Both sides have forgotten each other's capabilities, or take the last version for a repetition. */
  onRecovered(session: Session): void {
    this.#announcer.pushNew(session);
    this.#share(session);
  }

  onLost({ peer }: Session): void {
    this.#forget(peer);
  }

  onRemoved(peer: Peer): void {
    this.#forget(peer);
  }

  #forget(peer: Peer): void {
    const { nodeId } = peer;
    peer.subnet = undefined;
    this.#seen.forget(nodeId);
    if (this.index.delete(nodeId)) this.#state.emit({ type: "capabilities-changed", nodeId });
  }

  /** Takes one announcement of a peer; the order of the checks is part of the protocol. */
  receive(session: Session, event: Uint8Array): void {
    const { counters, nowMs, config } = this.#state;
    if (!this.#mayWork(session)) {
      counters.announcementLimited++;
      return;
    }
    const announcement = decodeCapabilityAnnouncement(event);
    if (announcement === undefined) {
      counters.announcementMalformed++;
      return;
    }
    const { nodeId, version, hopCount, entityId } = announcement;
    const isDirect = hopCount === 0;
    if ((isDirect && nodeId !== session.peer.nodeId) || nodeId === config.nodeId || hopCount > LAST_HOP) {
      counters.announcementRefused++;
      return;
    }
    if (this.#seen.has(nodeId, version, isDirect, nowMs)) {
      counters.announcementRepeated++;
      // In a new session of the same process it tells who the peer is, and nothing else.
      if (isDirect && isUnknown(session) && isSignatureValid(announcement) && nodeIdOf(entityId) === nodeId) {
        pin(session, entityId);
      }
      return;
    }
    const isSigned = announcement.signature !== undefined;
    if (!isSigned && config.requireSignedCapabilities) {
      counters.announcementUnsigned++;
      return;
    }
    if ((isSigned && !isSignatureValid(announcement)) || nodeIdOf(entityId) !== nodeId) {
      counters.announcementForged++;
      return;
    }
    const expiresMs = this.#expiryOf(announcement);
    if (expiresMs <= nowMs) {
      counters.announcementStale++;
      return;
    }
    if (isSigned && isDirect && !pin(session, entityId)) {
      counters.announcementForged++;
      return;
    }
    if (isSigned && isDirect) this.#subnets.learn(session.peer, announcement.capabilities.tags);
    this.#seen.add(nodeId, version, isDirect, nowMs);
    if (!isDirect) {
      // It leads to the neighbour who passed it on, who is authenticated; how far it really is only the neighbour knows.
      const metric = hopCount + METRIC_OFFSET;
      this.#state.routes.addRouteWithMetric(nodeId, session.path.address, metric, nowMs);
      this.#state.nextHops.note(low32(nodeId), high32(nodeId), session.peer.nodeId, metric, nowMs);
    }
    counters.announcementsTaken++;
    const capabilities = sanitize(announcement.capabilities);
    const isNews = this.index.set(new IndexedNode(announcement, capabilities, expiresMs));
    if (hopCount < LAST_HOP) this.#passOn(announcement, session);
    if (!isNews) return;
    this.#state.alarms.hasten(this, expiresMs);
    this.#state.emit({ type: "capabilities-changed", nodeId });
  }

  /** Ids of the known nodes that fit, ascending. */
  find(filter: CapabilityFilter, scope: CapabilityScope): bigint[] {
    return this.index.find(filter, this.#state.nowMs, (node) => this.#admits(node, scope));
  }

  /** The node with the highest score of those that fit. */
  findBest(requirement: CapabilityRequirement, scope: CapabilityScope): bigint | undefined {
    return this.index.best(requirement, this.#state.nowMs, (node) => this.#admits(node, scope));
  }

  #admits(node: IndexedNode, scope: CapabilityScope): boolean {
    return admitsScope(scope, node.scope, this.#subnets.isSame(node.nodeId));
  }

  /** Whether `target` offers the tag, to `caller` too (spec/mesh.md §9.6). */
  mayExecute(target: bigint, tag: string, caller: bigint): boolean {
    const node = this.#live(target);
    if (node?.announced.tags.includes(tag) !== true) return false;
    const { allowedNodes, allowedSubnets, allowedGroups } = node.announcement;
    if (allowedNodes.length + allowedSubnets.length + allowedGroups.length === 0) return true;
    if (allowedNodes.includes(caller)) return true;
    const tags = this.#live(caller)?.announced.tags ?? [];
    const subnets = tags.filter((own) => own.startsWith(SUBNET_TAG));
    const groups = tags.filter((own) => own.startsWith(GROUP_TAG));
    // Who says to be in several is in none.
    return (
      (subnets.length === 1 && allowedSubnets.some((id) => subnets[0] === SUBNET_TAG + bytesToHex(id))) ||
      allowedGroups.some((id) => groups.includes(GROUP_TAG + bytesToHex(id)))
    );
  }

  #live(nodeId: bigint): IndexedNode | undefined {
    const node = this.index.get(nodeId);
    return node !== undefined && node.deadline > this.#state.nowMs ? node : undefined;
  }

  #mayWork(session: Session): boolean {
    const { nowMs } = this.#state;
    let own = this.#perPeer.get(session);
    if (own === undefined) {
      own = new OperationBudget(PER_PEER_PER_SECOND);
      this.#perPeer.set(session, own);
    }
    if (!own.has(nowMs) || !this.#total.has(nowMs)) return false;
    own.spend(nowMs);
    this.#total.spend(nowMs);
    return true;
  }

  /**
   * When the announcement expires by this node's clock. The peer itself is believed to be there, however old its announcement
   * is; what is passed on by others lives no longer than its author has said.
   */
  #expiryOf({ ttlSeconds, timestampNs, hopCount }: CapabilityAnnouncement): number {
    const { nowMs, config } = this.#state;
    const ttlMs = Math.min(MAX_TTL_MS, ttlSeconds * 1_000);
    if (hopCount === 0) return nowMs + ttlMs;
    const ageMs = config.systemTime.now() - Number(timestampNs / 1_000_000n);
    if (ageMs > MAX_AGE_MS + CLOCK_SKEW_MS || ageMs < -CLOCK_SKEW_MS) return nowMs;
    return nowMs + Math.min(ttlMs, ttlMs + CLOCK_SKEW_MS - ageMs);
  }

  /** Sends it to every peer that will not get it otherwise. */
  #passOn(announcement: CapabilityAnnouncement, from: Session): void {
    const { peers, routes, nowMs, counters } = this.#state;
    const bytes = this.#oneHopFurther(announcement);
    if (bytes === undefined) return;
    const isFar = announcement.hopCount + 1 > this.index.scope.radius;
    const towards = routes.lookupId(announcement.nodeId, nowMs)?.key;
    for (const { session, nodeId } of peers) {
      if (session === undefined || session === from || nodeId === announcement.nodeId) continue;
      // The relay that leads to a peer passes it on itself.
      if (session.path.routed || session.path.address.key === towards) continue;
      if (isFar && session.has(PeerFeature.SCOPED_FLOODS)) {
        counters.announcementScoped++;
        continue;
      }
      this.#forward(session, bytes);
    }
  }

  #forward(session: Session, bytes: Uint8Array): void {
    if (!session.isConfirmed || session.isSilent) return;
    if (this.#writer.sendMessage(session, Subprotocol.CAPABILITY_ANNOUNCEMENT, bytes)) {
      this.#state.counters.announcementsForwarded++;
    }
  }

  /** Gives a neighbour what is known of others, so that it does not have to wait until they announce themselves again. */
  #share(session: Session): void {
    if (session.path.routed) return;
    const radius = session.has(PeerFeature.SCOPED_FLOODS) ? this.index.scope.radius : LAST_HOP;
    for (const { announcement } of this.index.latest(SHARED_ON_CONNECT)) {
      const { nodeId, hopCount } = announcement;
      if (
        hopCount >= radius ||
        nodeId === session.peer.nodeId ||
        nodeId === this.#state.config.nodeId ||
        hopCount >= LAST_HOP
      ) {
        continue;
      }
      const bytes = this.#oneHopFurther(announcement);
      if (bytes !== undefined) this.#forward(session, bytes);
    }
  }

  /**
   * The announcement as it is passed on; undefined, and counted, when that fits no packet: the hops of one that fills a packet
   * have no room, and other writings of the same text may be longer than the one that arrived.
   */
  #oneHopFurther(announcement: CapabilityAnnouncement): Uint8Array | undefined {
    const bytes = encodeCapabilityAnnouncement({ ...announcement, hopCount: announcement.hopCount + 1 });
    if (bytes.length <= MAX_ANNOUNCEMENT_BYTES) return bytes;
    this.#state.counters.announcementTooLarge++;
    return undefined;
  }
}

/** Whether nothing has shown yet who the peer is, and it gives no proof. */
function isUnknown({ identity, announcedEntity }: Session): boolean {
  return identity === undefined && announcedEntity === undefined;
}

/** Whether the entity is the one that the peer has shown to be before, if any: it is from now on. */
function pin(session: Session, entityId: Uint8Array): boolean {
  const { entityId: known } = session;
  if (known !== undefined) return known.every((byte, i) => byte === entityId[i]);
  session.announcedEntity = entityId;
  return true;
}
