import { channelHash, channelWireHash, high32, low32, publishStreamId } from "@netmesh/wire";

/** How a subscriber takes part: it gets everything, or shares a queue group of that name. */
export type SubscriberMode = string | undefined;

/** A peer's place in a channel. */
export interface Subscriber {
  readonly nodeId: bigint;
  readonly idLo: number;
  readonly idHi: number;
  /** The queue group; undefined for a broadcast member. */
  readonly group: SubscriberMode;
}

/** What a publisher thinks of sending to a subscriber now. */
export const Reach = {
  /** It may not be sent anything. */
  FORBIDDEN: 0,
  /** It may, but nothing would arrive. */
  AWAY: 1,
  /** It may, and there is a session. */
  HERE: 2,
} as const;
/** One of {@link Reach}. */
export type Reach = (typeof Reach)[keyof typeof Reach];

interface QueueGroup {
  readonly members: Subscriber[];
  /** Whose turn it is. */
  next: number;
}

/** A channel with at least one subscriber. */
export class RosterChannel {
  readonly name: string;
  /** Canonical hash of the name. */
  readonly hash: bigint;
  /** What packets carry of it. */
  readonly wireHash: number;
  readonly streamId: bigint;
  readonly streamIdLo: number;
  readonly streamIdHi: number;
  /** How many events were published on it, counting from wherever it began; never less than before. */
  position: number;
  /** Everybody, by node id. */
  readonly members: Map<bigint, Subscriber> = new Map();
  readonly #groups = new Map<string, QueueGroup>();
  /** Members of no group. */
  readonly #broadcast = new Set<Subscriber>();

  constructor(name: string, position = 0) {
    this.name = name;
    this.position = position;
    this.hash = channelHash(name);
    this.wireHash = channelWireHash(this.hash);
    this.streamId = publishStreamId(this.hash);
    this.streamIdLo = low32(this.streamId);
    this.streamIdHi = high32(this.streamId);
  }

  /** False when the peer takes part in that way already. */
  add(nodeId: bigint, group: SubscriberMode): boolean {
    const known = this.members.get(nodeId);
    if (known !== undefined && known.group === group) return false;
    if (known !== undefined) this.remove(nodeId);
    const member = { nodeId, idLo: low32(nodeId), idHi: high32(nodeId), group };
    this.members.set(nodeId, member);
    if (group === undefined) {
      this.#broadcast.add(member);
      return true;
    }
    const queue = this.#groups.get(group);
    if (queue === undefined) this.#groups.set(group, { members: [member], next: 0 });
    else queue.members.push(member);
    return true;
  }

  remove(nodeId: bigint): boolean {
    const member = this.members.get(nodeId);
    if (member === undefined) return false;
    this.members.delete(nodeId);
    this.#broadcast.delete(member);
    if (member.group === undefined) return true;
    const queue = this.#groups.get(member.group) as QueueGroup;
    const index = queue.members.indexOf(member);
    queue.members.splice(index, 1);
    if (index < queue.next) queue.next--;
    if (queue.members.length === 0) this.#groups.delete(member.group);
    return true;
  }

  /**
   * Who gets the next event: every broadcast member that may, and of each group the next member in turn that may, and is here
   * if any is. The members are asked about in order, by `reach`.
   */
  select(reach: (member: Subscriber) => Reach): Subscriber[] {
    const selected: Subscriber[] = [];
    for (const member of this.#broadcast) if (reach(member) !== Reach.FORBIDDEN) selected.push(member);
    for (const group of this.#groups.values()) {
      const member = takeTurn(group, reach);
      if (member !== undefined) selected.push(member);
    }
    return selected;
  }
}

function takeTurn(group: QueueGroup, reach: (member: Subscriber) => Reach): Subscriber | undefined {
  const { members } = group;
  let fallback = -1;
  for (let i = 0; i < members.length; i++) {
    const index = (group.next + i) % members.length;
    const state = reach(members[index] as Subscriber);
    if (state === Reach.AWAY && fallback < 0) fallback = index;
    if (state !== Reach.HERE) continue;
    group.next = (index + 1) % members.length;
    return members[index];
  }
  if (fallback < 0) return undefined;
  group.next = (fallback + 1) % members.length;
  return members[fallback];
}

/**
 * Who has subscribed to what (spec/mesh.md §12.4). Fed by the network: its caller bounds the channels of a peer, and the
 * subscribers in all; what exceeds that is refused, and nothing is evicted for it.
 */
export class Roster {
  readonly #channels = new Map<string, RosterChannel>();
  readonly #ofPeer = new Map<bigint, Set<string>>();
  /** Places in all channels together. */
  size = 0;
  /** The highest position of a channel that has lost its last subscriber: where any begins, so that none falls behind what it was. */
  #highestPosition = 0;

  get channelCount(): number {
    return this.#channels.size;
  }

  /** Peers with at least one place. */
  get peerCount(): number {
    return this.#ofPeer.size;
  }

  /** The channel, if it has subscribers. */
  channel(name: string): RosterChannel | undefined {
    return this.#channels.get(name);
  }

  /** The channels that a peer has subscribed to. */
  channelsOf(nodeId: bigint): ReadonlySet<string> {
    return this.#ofPeer.get(nodeId) ?? NONE;
  }

  /** Gives a peer a place, or moves it to another group; false when nothing changes. */
  add(name: string, nodeId: bigint, group: SubscriberMode): boolean {
    let channel = this.#channels.get(name);
    if (channel === undefined) {
      channel = new RosterChannel(name, this.#highestPosition);
      this.#channels.set(name, channel);
    }
    const before = channel.members.size;
    const isChanged = channel.add(nodeId, group);
    this.size += channel.members.size - before;
    const channels = this.#ofPeer.get(nodeId);
    if (channels === undefined) this.#ofPeer.set(nodeId, new Set([name]));
    else channels.add(name);
    return isChanged;
  }

  /** Takes a peer's place away; false when it had none. */
  remove(name: string, nodeId: bigint): boolean {
    const channel = this.#channels.get(name);
    if (channel?.remove(nodeId) !== true) return false;
    this.size--;
    if (channel.members.size === 0) {
      this.#channels.delete(name);
      this.#highestPosition = Math.max(this.#highestPosition, channel.position);
    }
    const channels = this.#ofPeer.get(nodeId) as Set<string>;
    channels.delete(name);
    if (channels.size === 0) this.#ofPeer.delete(nodeId);
    return true;
  }

  /** Takes all places of a peer away; returns the channels in which it had one. */
  removePeer(nodeId: bigint): string[] {
    const names = [...this.channelsOf(nodeId)];
    for (const name of names) this.remove(name, nodeId);
    return names;
  }
}

const NONE: ReadonlySet<string> = new Set();
