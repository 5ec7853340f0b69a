import {
  type AnnouncedCapabilities,
  announcementSignedBytes,
  type CapabilityAnnouncement,
  encodeCapabilityAnnouncement,
  MAX_ALLOW_LIST,
  Subprotocol,
  tagKey,
} from "@netmesh/wire";
import type { Signer } from "../core/config.ts";
import type { Alarm, CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";
import { type CapabilityIndex, IndexedNode } from "./capability-index.ts";
import { MAX_ANNOUNCEMENT_BYTES } from "./validate-capabilities.ts";

/** Time to live unless told otherwise. */
export const DEFAULT_TTL_MS = 300_000;
/** An announcement is repeated, as a new version, when this share of its time to live is over. */
const REFRESH_SHARE = 0.5;
/** The part that adds the tag about the NAT. */
const REACHABILITY = "reachability";
const MAX_TTL_SECONDS = 0xffff_ffff;

/** How capabilities are announced. */
export interface AnnounceOptions {
  /** How long other nodes keep them without hearing of this node again; default 300 000, rounded up to seconds. */
  readonly ttlMs?: number;
  /** Whether the announcement is signed; default true. Most nodes ignore unsigned ones. */
  readonly signed?: boolean;
  /** Who may use the capabilities: listed nodes, nodes of listed subnets (16 bytes) or groups (32). All empty: everybody. */
  readonly allowedNodes?: readonly bigint[];
  readonly allowedSubnets?: readonly Uint8Array[];
  readonly allowedGroups?: readonly Uint8Array[];
}

/**
 * Announces this node's capabilities: at once or when the least interval is over, again before they expire, and to every peer
 * that comes or comes back (spec/mesh.md §9.3, weaknesses M10 to M12).
 */
export class Announcer implements Alarm {
  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #index: CapabilityIndex;
  /** What the application has announced last. */
  #baseline: AnnouncedCapabilities | undefined;
  #options: AnnounceOptions = {};
  /** Tags that parts of this node add, by part. */
  readonly #added = new Map<string, readonly string[]>();
  #reflexAddress: string | undefined;
  #version = 0n;
  /** The last announcement, encoded. */
  #own: Uint8Array | undefined;
  #broadcastMs: number = Number.NEGATIVE_INFINITY;
  /** The last announcement has not been broadcast. */
  #isOwed = false;

  constructor(state: CoreState, writer: PacketWriter, index: CapabilityIndex) {
    this.#state = state;
    this.#writer = writer;
    this.#index = index;
  }

  /**
   * Announces capabilities from now on. Throws `invalid-argument`, `message-too-large`, and `config` when this node has no
   * identity, before anything changes.
   */
  announce(capabilities: AnnouncedCapabilities, options: AnnounceOptions = {}): void {
    requireAllowLists(options);
    if (!((options.ttlMs ?? DEFAULT_TTL_MS) > 0)) {
      throw new MeshError("invalid-argument", "ttlMs must be more than 0");
    }
    if (this.#state.config.identity === undefined) {
      throw new MeshError("config", "this node has no identity to announce");
    }
    const before = { baseline: this.#baseline, options: this.#options };
    this.#baseline = capabilities;
    this.#options = options;
    try {
      this.#renew();
    } catch (error) {
      this.#baseline = before.baseline;
      this.#options = before.options;
      throw error;
    }
    this.#broadcastSoon();
  }

  /** What one part of this node adds to every announcement, in place of what it added before. */
  addTags(part: string, tags: readonly string[]): void {
    const before = this.#added.get(part) ?? [];
    if (before.length === tags.length && before.every((tag, i) => tag === tags[i])) return;
    if (tags.length === 0) this.#added.delete(part);
    else this.#added.set(part, tags);
    this.#onChange();
  }

  /**
   * How this node is reached from outside: the tag about its NAT, and where it is seen, always together. Nodes that have announced
   * nothing yet announce themselves without capabilities. `atOnce` does not wait for the least interval.
   */
  announceReachability(natTag: string, reflexAddress: string | undefined, atOnce: boolean): void {
    const isSame = this.#added.get(REACHABILITY)?.[0] === natTag && reflexAddress === this.#reflexAddress;
    if (isSame || this.#state.config.identity === undefined) return;
    this.#added.set(REACHABILITY, [natTag]);
    this.#reflexAddress = reflexAddress;
    this.#baseline ??= { tags: [], metadata: new Map() };
    if (atOnce) this.#broadcastMs = Number.NEGATIVE_INFINITY;
    this.#onChange();
  }

  /** Whether there is something to announce. */
  get isActive(): boolean {
    return this.#baseline !== undefined;
  }

  /** Sends the last announcement to one peer. */
  push(session: Session): void {
    if (this.#own !== undefined) this.#send(session, this.#own);
  }

  /** Sends a new version to a peer that may take the last one for a repetition. */
  pushNew(session: Session): void {
    if (this.#baseline === undefined) return;
    this.#renew();
    this.push(session);
  }

  /** Sends an encoded announcement to one peer. */
  #send(session: Session, bytes: Uint8Array): void {
    if (this.#writer.sendMessage(session, Subprotocol.CAPABILITY_ANNOUNCEMENT, bytes)) {
      this.#state.counters.announcementsSent++;
    }
  }

  ring(): void {
    const { nowMs } = this.#state;
    if (!this.#isOwed && this.#baseline !== undefined) this.#renew();
    this.#broadcast();
    this.#broadcastMs = nowMs;
  }

  #onChange(): void {
    if (this.#baseline === undefined) return;
    this.#renew();
    this.#broadcastSoon();
  }

  /** Makes the next version, and indexes it. */
  #renew(): void {
    const { config, nowMs } = this.#state;
    const identity = config.identity as Signer;
    const unixMs = Math.max(0, Math.floor(config.systemTime.now()));
    const fromTime = BigInt(unixMs);
    const version = fromTime > this.#version ? fromTime : this.#version + 1n;
    const ttlMs = this.#options.ttlMs ?? DEFAULT_TTL_MS;
    const unsigned: CapabilityAnnouncement = {
      nodeId: config.nodeId,
      entityId: identity.entityId,
      version,
      timestampNs: fromTime * 1_000_000n,
      ttlSeconds: Math.min(MAX_TTL_SECONDS, Math.ceil(ttlMs / 1_000)),
      capabilities: this.#merged(),
      hopCount: 0,
      reflexAddress: this.#reflexAddress,
      allowedNodes: this.#options.allowedNodes ?? [],
      allowedSubnets: this.#options.allowedSubnets ?? [],
      allowedGroups: this.#options.allowedGroups ?? [],
    };
    const isSigned = this.#options.signed !== false;
    const signature = isSigned ? identity.sign(announcementSignedBytes(unsigned)) : undefined;
    const announcement = { ...unsigned, signature };
    const bytes = encodeCapabilityAnnouncement(announcement);
    // Passed on, it has a hop count of up to two digits.
    const limit = MAX_ANNOUNCEMENT_BYTES - ',"hop_count":15'.length;
    if (bytes.length > limit) {
      throw new MeshError("message-too-large", `the announcement has ${bytes.length} bytes`, limit);
    }
    this.#version = version;
    this.#own = bytes;
    this.#index.set(new IndexedNode(announcement, announcement.capabilities, nowMs + ttlMs));
    const refreshMs = nowMs + Math.max(config.minAnnounceIntervalMs, ttlMs * REFRESH_SHARE);
    this.#state.alarms.schedule(this, this.#isOwed ? Math.min(this.deadline, refreshMs) : refreshMs);
  }

  #merged(): AnnouncedCapabilities {
    const { tags, metadata } = this.#baseline as AnnouncedCapabilities;
    // Only this node itself says how it is reached.
    const own = this.#added.has(REACHABILITY) ? tags.filter((tag) => !tag.startsWith("nat:")) : tags;
    const merged = new Map(own.map((tag) => [tagKey(tag), tag]));
    for (const added of this.#added.values()) for (const tag of added) merged.set(tagKey(tag), tag);
    return { tags: [...merged.values()], metadata };
  }

  /** Now, or when the least interval since the last broadcast is over: the latest state is sent then. */
  #broadcastSoon(): void {
    const { config, nowMs, alarms } = this.#state;
    const earliestMs = this.#broadcastMs + config.minAnnounceIntervalMs;
    if (nowMs >= earliestMs) {
      this.#broadcast();
      this.#broadcastMs = nowMs;
      return;
    }
    this.#isOwed = true;
    alarms.hasten(this, earliestMs);
  }

  #broadcast(): void {
    this.#isOwed = false;
    const refreshMs = (this.#options.ttlMs ?? DEFAULT_TTL_MS) * REFRESH_SHARE;
    const pauseMs = Math.max(this.#state.config.minAnnounceIntervalMs, refreshMs);
    this.#state.alarms.schedule(
      this,
      this.#baseline === undefined ? Number.POSITIVE_INFINITY : this.#state.nowMs + pauseMs,
    );
    for (const { session } of this.#state.peers) {
      if (session?.isConfirmed === true && !session.isSilent) this.push(session);
    }
  }
}

function requireAllowLists({ allowedNodes, allowedSubnets, allowedGroups }: AnnounceOptions): void {
  const lists: [readonly unknown[] | undefined, number | undefined][] = [
    [allowedNodes, undefined],
    [allowedSubnets, 16],
    [allowedGroups, 32],
  ];
  for (const [list, size] of lists) {
    const isFit = (list ?? []).every((id) =>
      size === undefined ? typeof id === "bigint" : id instanceof Uint8Array && id.length === size,
    );
    if (!isFit || (list?.length ?? 0) > MAX_ALLOW_LIST) {
      throw new MeshError(
        "invalid-argument",
        "an allow list has at most 64 ids: of nodes bigints, of subnets 16 bytes, of groups 32",
        MAX_ALLOW_LIST,
      );
    }
  }
}
