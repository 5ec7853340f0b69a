/** A member of a group. */
export interface MemberInfo {
  /** Its place in the group, from 0. */
  readonly index: number;
  /** Origin hash of its key. */
  readonly originHash: bigint;
  /** The node it lives on. */
  readonly nodeId: bigint;
  /** Public key, 32 bytes; the caller's. */
  readonly entityId: Uint8Array;
  /** Whether events are routed to it. */
  readonly isHealthy: boolean;
}

/** How a group is doing: a group without members is dead. */
export type GroupHealth =
  | { readonly status: "healthy" }
  | { readonly status: "degraded"; readonly healthy: number; readonly total: number }
  | { readonly status: "dead" };

type MutableMember = { -readonly [K in keyof MemberInfo]: MemberInfo[K] };

/** Who is in a group, where, and how they are doing (§25). As many entries as the group has members. */
export class MemberRoster {
  readonly #members: MutableMember[] = [];

  /** Members, healthy or not. */
  get size(): number {
    return this.#members.length;
  }

  /** How the group is doing. */
  get health(): GroupHealth {
    const healthy = this.#members.filter(({ isHealthy }) => isHealthy).length;
    const total = this.#members.length;
    if (healthy === 0) return { status: "dead" };
    return healthy === total ? { status: "healthy" } : { status: "degraded", healthy, total };
  }

  /** All members by index; the roster's own, which change with it. */
  get entries(): readonly MemberInfo[] {
    return this.#members;
  }

  /** All members by index; copies. */
  members(): MemberInfo[] {
    return this.#members.map(copyOf);
  }

  /** The member with that index; a copy. */
  get(index: number): MemberInfo | undefined {
    const member = this.#members[index];
    return member === undefined ? undefined : copyOf(member);
  }

  /** Adds a member, healthy, with the next index. */
  add(originHash: bigint, entityId: Uint8Array, nodeId: bigint): void {
    this.#members.push({ index: this.size, originHash, nodeId, entityId, isHealthy: true });
  }

  /** Removes and returns the member with the highest index. */
  removeLast(): MemberInfo | undefined {
    return this.#members.pop();
  }

  /** Whether there is such a member, which no longer is healthy. */
  markUnhealthy(index: number): boolean {
    const member = this.#members[index];
    if (member === undefined) return false;
    member.isHealthy = false;
    return true;
  }

  /** A member lives on that node now, and is healthy. */
  movedTo(index: number, nodeId: bigint): void {
    const member = this.#members[index];
    if (member === undefined) return;
    member.nodeId = nodeId;
    member.isHealthy = true;
  }

  /** Indices of the members on a node. */
  membersOnNode(nodeId: bigint): number[] {
    return this.#members.filter((member) => member.nodeId === nodeId).map(({ index }) => index);
  }

  /** A node is back: its members that still live there are healthy again. Returns their indices. */
  onNodeRecovery(nodeId: bigint, isLive: (member: MemberInfo) => boolean): number[] {
    const revived = this.#members.filter(
      (member) => member.nodeId === nodeId && !member.isHealthy && isLive(member),
    );
    for (const member of revived) member.isHealthy = true;
    return revived.map(({ index }) => index);
  }
}

function copyOf(member: MemberInfo): MemberInfo {
  return { ...member, entityId: new Uint8Array(member.entityId) };
}
