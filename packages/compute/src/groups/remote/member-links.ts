import type { ByteStream } from "../../runtime/peer-network.ts";
import type { CausalEvent } from "../../state/causal-event.ts";
import type { StateSnapshot } from "../../state/snapshot.ts";
import { type DaemonTime, platformTime } from "../../time.ts";
import { GroupError } from "../group-error.ts";
import type { MemberAddress, MemberPlan, RemoteMembers } from "../member-hosting.ts";
import { encodeMemberFrame, type MemberFrame, readMemberFrames } from "./member-frames.ts";
import {
  decodeEvents,
  decodeFailure,
  decodeMemberState,
  decodeOrigins,
  encodeAddressed,
  encodeEvents,
  encodeMemberState,
  encodePlace,
} from "./member-messages.ts";
import type { MemberNetwork } from "./member-network.ts";

/** A request that is not answered fails after this unless configured otherwise, in milliseconds. */
const DEFAULT_REQUEST_TIMEOUT_MS = 90_000;
/** A node that does not say whether it hosts members does not, in milliseconds. */
const HELLO_TIMEOUT_MS = 5000;

const NOTHING = new Uint8Array(0);

/** How members on other nodes are reached. */
export interface MemberLinksOptions {
  readonly network: MemberNetwork;
  /** Told of a node that has hosted members and is not reached any more. Must not throw. */
  readonly onLost?: (node: bigint) => void;
  /** Longest request in milliseconds; 90 000 by default. */
  readonly requestTimeoutMs?: number;
  /** The platform's by default. */
  readonly time?: DaemonTime;
}

/** A request that waits for its answer. */
interface Request {
  readonly resolve: (payload: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
  readonly originHash: bigint | undefined;
  readonly timer: unknown;
}

/** A stream to a node that hosts members. */
interface Link {
  readonly node: bigint;
  readonly stream: ByteStream;
  /** By number: as many as callers wait for. */
  readonly requests: Map<number, Request>;
  /** The members that live there, as far as is known. */
  readonly live: Set<bigint>;
  lastId: number;
  /** Settles when all is written; never rejects. */
  writing: Promise<void>;
}

/** The members of this node's groups that live on other netmesh nodes (docs/protocol/groups.md). */
export class MemberLinks implements RemoteMembers {
  readonly #options: MemberLinksOptions;
  readonly #time: DaemonTime;
  /** By node; those that host members. */
  readonly #links: Map<bigint, Link> = new Map();
  /** Those being opened, by node. */
  readonly #opening: Map<bigint, Promise<boolean>> = new Map();
  /** The members that groups have on each node, also while it is not reached: no more than groups have. */
  readonly #wanted: Map<bigint, Set<bigint>> = new Map();
  #isClosed = false;

  constructor(options: MemberLinksOptions) {
    this.#options = options;
    this.#time = options.time ?? platformTime;
  }

  /** Whether a node that hosts members is reached. */
  isReached(node: bigint): boolean {
    return this.#links.has(node);
  }

  /** Whether a node hosts members, and there is a way to seal their keys for it; asks it unless that is known. Never rejects. */
  probe(node: bigint): Promise<boolean> {
    if (this.#isClosed) return Promise.resolve(false);
    if (this.#links.has(node)) return Promise.resolve(true);
    let opening = this.#opening.get(node);
    if (opening === undefined) {
      opening = this.#open(node).finally(() => this.#opening.delete(node));
      this.#opening.set(node, opening);
    }
    return opening;
  }

  async place(plan: MemberPlan, nodeId: bigint): Promise<void> {
    const { originHash } = plan.identity;
    const targetPublicKey = this.#options.network.staticKeyOf(nodeId);
    if (targetPublicKey === undefined || !(await this.probe(nodeId))) throw unreached(nodeId);
    const payload = encodePlace(plan, targetPublicKey);
    // Where it was before it is not wanted any more, should it be there still.
    for (const origins of this.#wanted.values()) origins.delete(originHash);
    await this.#request(nodeId, "place", payload, originHash);
    this.#wantedOn(nodeId).add(originHash);
    this.#links.get(nodeId)?.live.add(originHash);
  }

  async remove({ originHash, nodeId }: MemberAddress): Promise<void> {
    this.#wanted.get(nodeId)?.delete(originHash);
    this.#links.get(nodeId)?.live.delete(originHash);
    // A node that is not reached ends it by itself, or when it is reached again.
    await this.#request(nodeId, "remove", encodeAddressed(originHash), originHash).catch(() => undefined);
  }

  isLive({ originHash, nodeId }: MemberAddress): boolean {
    return this.#links.get(nodeId)?.live.has(originHash) === true;
  }

  async deliver(member: MemberAddress, event: CausalEvent): Promise<readonly CausalEvent[]> {
    const payload = await this.#ask(member, "deliver", encodeEvents([event]));
    return decodeEvents(payload) ?? nonsense(member);
  }

  async replay(member: MemberAddress, event: CausalEvent): Promise<void> {
    await this.#ask(member, "replay", encodeEvents([event]));
  }

  async snapshot(member: MemberAddress): Promise<StateSnapshot | undefined> {
    const payload = await this.#ask(member, "snapshot", NOTHING);
    return payload.length === 0 ? undefined : (decodeMemberState(payload) ?? nonsense(member));
  }

  async restore(member: MemberAddress, snapshot: StateSnapshot): Promise<void> {
    await this.#ask(member, "restore", encodeMemberState(snapshot));
  }

  /** Ends all streams: members end when their nodes' patience does. Idempotent. */
  close(): void {
    this.#isClosed = true;
    for (const link of [...this.#links.values()]) this.#end(link);
  }

  async #ask(
    { originHash, nodeId }: MemberAddress,
    type: MemberFrame["type"],
    rest: Uint8Array,
  ): Promise<Uint8Array> {
    try {
      return await this.#request(nodeId, type, encodeAddressed(originHash, rest), originHash);
    } catch (error) {
      const isGone = (error as { reason?: string }).reason === "not-found";
      if (isGone) this.#links.get(nodeId)?.live.delete(originHash);
      throw error;
    }
  }

  async #open(node: bigint): Promise<boolean> {
    let link: Link | undefined;
    try {
      const { network } = this.#options;
      const isKnown = network.staticKeyOf(node) !== undefined;
      // About no daemon in particular.
      if (!isKnown && (await network.learnStaticKey?.(node, 0n)) !== true) return false;
      const stream = await network.openMemberStream(node);
      link = {
        node,
        stream,
        requests: new Map(),
        live: new Set(),
        lastId: 0,
        writing: Promise.resolve(),
      };
      void this.#read(link);
      const origins = decodeOrigins(await this.#send(link, "hello", NOTHING, undefined, HELLO_TIMEOUT_MS));
      if (origins === undefined || this.#isClosed) throw unreached(node);
      this.#links.set(node, link);
      const wanted = this.#wantedOn(node);
      for (const originHash of origins) {
        if (wanted.has(originHash)) link.live.add(originHash);
        else void this.remove({ originHash, nodeId: node });
      }
      return true;
    } catch {
      link?.stream.abort();
      return false;
    }
  }

  #wantedOn(node: bigint): Set<bigint> {
    const wanted = this.#wanted.get(node) ?? new Set();
    this.#wanted.set(node, wanted);
    return wanted;
  }

  #request(
    node: bigint,
    type: MemberFrame["type"],
    payload: Uint8Array,
    originHash: bigint,
  ): Promise<Uint8Array> {
    const link = this.#links.get(node);
    if (link === undefined) return Promise.reject(unreached(node, originHash));
    return this.#send(link, type, payload, originHash, this.#options.requestTimeoutMs);
  }

  #send(
    link: Link,
    type: MemberFrame["type"],
    payload: Uint8Array,
    originHash: bigint | undefined,
    timeoutMs: number = DEFAULT_REQUEST_TIMEOUT_MS,
  ): Promise<Uint8Array> {
    link.lastId = (link.lastId + 1) >>> 0;
    const id = link.lastId;
    return new Promise((resolve, reject) => {
      const timer = this.#time.after(timeoutMs, () => {
        link.requests.delete(id);
        reject(
          new GroupError("registry-failed", "the node of a member does not answer", { node: link.node }),
        );
      });
      link.requests.set(id, { resolve, reject, originHash, timer });
      const bytes = encodeMemberFrame({ type, id, payload });
      link.writing = link.writing.then(() => link.stream.write(bytes)).catch(() => this.#end(link));
    });
  }

  async #read(link: Link): Promise<void> {
    for await (const { type, id, payload } of readMemberFrames(link.stream)) {
      const request = link.requests.get(id);
      if (request === undefined) continue;
      link.requests.delete(id);
      this.#time.cancel(request.timer);
      if (type === "done") request.resolve(payload);
      else request.reject(decodeFailure(payload, link.node, request.originHash));
    }
    this.#end(link);
  }

  #end(link: Link): void {
    link.stream.abort();
    const wasKnown = this.#links.get(link.node) === link;
    if (wasKnown) this.#links.delete(link.node);
    for (const { reject, originHash, timer } of link.requests.values()) {
      this.#time.cancel(timer);
      reject(unreached(link.node, originHash));
    }
    link.requests.clear();
    if (!wasKnown || this.#isClosed) return;
    this.#options.onLost?.(link.node);
  }
}

function unreached(node: bigint, originHash?: bigint): GroupError {
  const details = originHash === undefined ? { node } : { node, originHash };
  return new GroupError("registry-failed", "the node of a member is not reached", details);
}

function nonsense({ nodeId, originHash }: MemberAddress): never {
  const details = { node: nodeId, originHash };
  throw new GroupError("registry-failed", "the node of a member answers nonsense", details);
}
