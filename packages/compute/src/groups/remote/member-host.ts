import type { X25519KeyPair } from "@netmesh/crypto";
import { DaemonError, hexId } from "../../errors.ts";
import type { ByteStream } from "../../runtime/peer-network.ts";
import { type DaemonTime, platformTime } from "../../time.ts";
import type { RemoteMembers } from "../member-hosting.ts";
import { encodeMemberFrame, type MemberFrame, readMemberFrames } from "./member-frames.ts";
import {
  decodeAddressed,
  decodeEvents,
  decodeMemberState,
  decodePlace,
  encodeEvents,
  encodeFailure,
  encodeMemberState,
  encodeOrigins,
  openPlacedIdentity,
} from "./member-messages.ts";

/** Members that one node may have here; of more, placing fails. */
export const MAX_MEMBERS_PER_NODE = 256;
/** Members of all nodes. */
export const MAX_HOSTED_MEMBERS = 4096;
/** Streams of one node, of which further ones are ended. */
const MAX_STREAMS_PER_NODE = 4;
/** Requests of one stream under way; further ones fail with `backpressure`. */
const MAX_REQUESTS = 4096;
/** How long members outlive the last stream of their group's node unless told otherwise, in milliseconds. */
const DEFAULT_LEASE_MS = 30_000;
const MAX_LEASE_MS = 0x7fff_ffff;

const NOTHING = new Uint8Array(0);

/** A member that another node wants to live here. */
export interface HostedMember {
  readonly kind: string;
  readonly originHash: bigint;
  /** Public key of the member, 32 bytes. */
  readonly entityId: Uint8Array;
  /** The node whose group it belongs to. */
  readonly from: bigint;
}

/** What a host is made of. */
export interface MemberHostOptions {
  /** The members of this node's runtime: `DaemonRuntime.members`. */
  readonly members: RemoteMembers;
  /** Whether a member may live here; whoever may decides what events it gets. Throwing means no. */
  readonly accepts: (member: HostedMember) => boolean;
  /** Opens the keys of members: the Noise static key of this node. */
  readonly staticKey: X25519KeyPair;
  /** Whether members can live here now: a node that says no is asked again later. Always by default. */
  readonly isReady?: () => boolean;
  /** How long members outlive the last stream of their group's node, in milliseconds; 30 000 by default. */
  readonly leaseMs?: number;
  /** The platform's by default. */
  readonly time?: DaemonTime;
}

/** A node with members here. */
interface Tenant {
  readonly origins: Set<bigint>;
  readonly streams: Set<ByteStream>;
  /** Ends the members, once there is no stream. */
  lease: unknown;
}

/** Hosts members of groups that live on other nodes (docs/protocol/groups.md), for those nodes alone, as long as they are there. */
export class MemberHost {
  readonly #options: MemberHostOptions;
  readonly #time: DaemonTime;
  /** By node; those with members or streams, no more than there are peers. */
  readonly #tenants: Map<bigint, Tenant> = new Map();
  #size = 0;
  #isClosed = false;

  /** Throws `invalid-argument` for a lease that is no time. */
  constructor(options: MemberHostOptions) {
    const { leaseMs = DEFAULT_LEASE_MS } = options;
    if (!(leaseMs >= 0 && leaseMs <= MAX_LEASE_MS)) {
      throw new DaemonError("invalid-argument", `leaseMs must be from 0 to ${MAX_LEASE_MS}, got ${leaseMs}`);
    }
    this.#options = options;
    this.#time = options.time ?? platformTime;
  }

  /** Members that live here for other nodes. */
  get size(): number {
    return this.#size;
  }

  /** Takes a stream that a node has opened. Never rejects. */
  async accept(stream: ByteStream, from: bigint): Promise<void> {
    const tenant = this.#tenant(from);
    if (this.#isClosed || tenant.streams.size >= MAX_STREAMS_PER_NODE) {
      stream.abort();
      return;
    }
    tenant.streams.add(stream);
    this.#time.cancel(tenant.lease);
    let requests = 0;
    let writing: Promise<void> = Promise.resolve();
    const answer = (frame: MemberFrame): void => {
      // A stream that has failed needs no answers.
      writing = writing.then(() => stream.write(encodeMemberFrame(frame))).catch(() => undefined);
    };
    for await (const { type, id, payload } of readMemberFrames(stream)) {
      if (requests >= MAX_REQUESTS) {
        const error = new DaemonError("backpressure", `${requests} requests are under way`);
        answer({ type: "failed", id, payload: encodeFailure(error) });
        continue;
      }
      requests++;
      // Begun in the order in which they came: what is delivered to a member keeps its order.
      this.#perform(type, payload, from, tenant).then(
        (result) => {
          requests--;
          answer({ type: "done", id, payload: result });
        },
        (error: unknown) => {
          requests--;
          answer({ type: "failed", id, payload: encodeFailure(error) });
        },
      );
    }
    stream.abort();
    tenant.streams.delete(stream);
    if (tenant.streams.size > 0 || this.#isClosed) return;
    if (tenant.origins.size === 0) this.#tenants.delete(from);
    else tenant.lease = this.#time.after(this.#options.leaseMs ?? DEFAULT_LEASE_MS, () => this.#end(from));
  }

  /** Ends all streams; the members end with their runtime. Idempotent. */
  close(): void {
    this.#isClosed = true;
    for (const { streams, lease } of this.#tenants.values()) {
      this.#time.cancel(lease);
      for (const stream of streams) stream.abort();
    }
    this.#tenants.clear();
    this.#size = 0;
  }

  #tenant(from: bigint): Tenant {
    let tenant = this.#tenants.get(from);
    if (tenant === undefined) {
      tenant = { origins: new Set(), streams: new Set(), lease: undefined };
      this.#tenants.set(from, tenant);
    }
    return tenant;
  }

  /** The node has been gone for too long. */
  #end(from: bigint): void {
    const tenant = this.#tenants.get(from);
    if (tenant === undefined || tenant.streams.size > 0) return;
    this.#tenants.delete(from);
    for (const originHash of [...tenant.origins]) {
      this.#forget(tenant, originHash);
      void this.#options.members.remove({ originHash, nodeId: from }).catch(() => undefined);
    }
  }

  async #perform(
    type: MemberFrame["type"],
    payload: Uint8Array,
    from: bigint,
    tenant: Tenant,
  ): Promise<Uint8Array> {
    const { members } = this.#options;
    if (type === "hello") {
      if (this.#options.isReady?.() === false) throw new DaemonError("not-ready", "this node is not ready");
      const live = [...tenant.origins].filter((originHash) => members.isLive({ originHash, nodeId: from }));
      return encodeOrigins(live);
    }
    if (type === "place") return await this.#place(payload, from, tenant);
    const { originHash, rest } = decodeAddressed(payload) ?? malformed(type);
    const member = { originHash, nodeId: from };
    if (!tenant.origins.has(originHash)) {
      if (type === "remove") return NOTHING;
      throw new DaemonError("invalid-argument", `${hexId(originHash)} is no member of that node`);
    }
    switch (type) {
      case "remove":
        this.#forget(tenant, originHash);
        await members.remove(member);
        return NOTHING;
      case "deliver":
      case "replay": {
        const [event, more] = decodeEvents(rest) ?? [];
        if (event === undefined || more !== undefined) return malformed(type);
        if (type === "deliver") return encodeEvents(await members.deliver(member, event));
        await members.replay(member, event);
        return NOTHING;
      }
      case "snapshot": {
        const snapshot = await members.snapshot(member);
        return snapshot === undefined ? NOTHING : encodeMemberState(snapshot);
      }
      case "restore":
        await members.restore(member, decodeMemberState(rest) ?? malformed(type));
        return NOTHING;
      default:
        return malformed(type);
    }
  }

  async #place(payload: Uint8Array, from: bigint, tenant: Tenant): Promise<Uint8Array> {
    const { members, staticKey } = this.#options;
    const request = decodePlace(payload) ?? malformed("place");
    const { kind, originHash, entityId, config, fork, state } = request;
    if (!this.#isAccepted({ kind, originHash, entityId, from })) {
      throw new DaemonError("invalid-argument", "this node does not take the member in", {
        kind,
        originHash,
      });
    }
    const isNew = !tenant.origins.has(originHash);
    if (isNew) {
      if (tenant.origins.size >= MAX_MEMBERS_PER_NODE || this.#size >= MAX_HOSTED_MEMBERS) {
        throw new DaemonError("backpressure", `${this.#size} members live here`, { originHash });
      }
      tenant.origins.add(originHash);
      this.#size++;
    }
    try {
      const identity = openPlacedIdentity(request, staticKey);
      try {
        const plan = { kind, identity, config, ...(fork === undefined ? {} : { fork }) };
        await members.place(state === undefined ? plan : { ...plan, state }, from);
      } finally {
        identity.zeroize();
      }
    } catch (error) {
      // What lived here before is not the node's.
      if (isNew) this.#forget(tenant, originHash);
      throw error;
    }
    if (tenant.origins.has(originHash)) return NOTHING;
    // The node has gone, or changed its mind, meanwhile.
    await members.remove({ originHash, nodeId: from });
    throw new DaemonError("cancelled", "the member is no longer wanted", { originHash });
  }

  #isAccepted(member: HostedMember): boolean {
    try {
      return this.#options.accepts(member) === true;
    } catch {
      return false;
    }
  }

  #forget(tenant: Tenant, originHash: bigint): void {
    if (tenant.origins.delete(originHash)) this.#size--;
  }
}

function malformed(type: string): never {
  throw new DaemonError("invalid-argument", `a ${type} that cannot be read`);
}
