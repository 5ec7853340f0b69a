import { readU32, readU64 } from "@netmesh/wire";
import { DaemonHost } from "../../daemon-host.ts";
import type { ByteStream } from "../../runtime/peer-network.ts";
import { decodeSnapshot, type StateSnapshot } from "../../state/snapshot.ts";
import { SubscriptionLedger } from "../../state/subscription-ledger.ts";
import { arrivingIdentity, makeHost, requireEntry, restoreHost } from "../arrivals.ts";
import { MigrationError } from "../failure-reason.ts";
import { readBufferedEvent } from "../messages.ts";
import type { MigrationContext } from "../migration-context.ts";
import { type DaemonPosition, decodePositions } from "./channel-positions.ts";
import { type HandoverFrame, MAX_HANDOVER_FRAME_SIZE, writeFrame } from "./handover-stream.ts";

/** Bytes of one part of a state, at most. */
export const MAX_HANDOVER_PART_SIZE: number = 64 * 1024 * 1024;

const HASH_SIZE = 8;
/** Bytes that a part is first given room for. */
const MIN_CAPACITY = 64 * 1024;

/** Who keeps the arrival whose daemon is being restored. */
export interface RestoreOwner {
  /** Whether the daemon is still to come. */
  isWanted(): boolean;
  /** Takes bytes of what all arrivals may hold, or gives them back when negative. Throws `state-failed` when there are not as many. */
  reserve(size: number): void;
  /** The daemon is made, and subscribed to these channels. Resolves when the rest of it may come; rejects when it is not wanted any more, and closes it. */
  onMade(host: DaemonHost, ledger: SubscriptionLedger): Promise<void>;
  /** Resolves when the daemon's channels are prepared, or are not waited for any more. */
  channelsReady(): Promise<void>;
  /** Whether the source is waited for, rather than this node. */
  onWaiting(isWaiting: boolean): void;
}

/** Makes a daemon of the stream of its handover, in the order in which the source writes it (docs/protocol/migration.md). */
export class HandoverRestore {
  readonly #context: MigrationContext;
  readonly #originHash: bigint;
  readonly #snapshotSize: number;
  readonly #stream: ByteStream;
  readonly #owner: RestoreOwner;
  /** The daemon, once there is one. */
  #host: DaemonHost | undefined;
  /** The snapshot, as far as it has come. */
  #whole = new Uint8Array(0);
  #wholeSize = 0;
  /** The part, as far as it has come, with room for more. */
  #part = new Uint8Array(0);
  #partSize = 0;
  #events = 0;
  #positions: readonly DaemonPosition[] | undefined;
  /** Bytes taken of what all arrivals may hold. */
  #reserved = 0;

  /** `snapshotSize` is what the source has announced, 0 for a state in parts. */
  constructor(
    context: MigrationContext,
    originHash: bigint,
    snapshotSize: number,
    stream: ByteStream,
    owner: RestoreOwner,
  ) {
    this.#context = context;
    this.#originHash = originHash;
    this.#snapshotSize = snapshotSize;
    this.#stream = stream;
    this.#owner = owner;
  }

  /**
   * Reads to the end, and no further; resolves to how far the daemon was on its channels. Rejects with `state-failed` for a stream that says something
   * else, and as the factory, the daemon and the owner do.
   */
  async read(frames: AsyncGenerator<HandoverFrame, void>): Promise<readonly DaemonPosition[]> {
    try {
      this.#reserve(this.#snapshotSize);
      // Memory that is not written to is not taken: a source that announces more than it sends costs nothing.
      this.#whole = new Uint8Array(this.#snapshotSize);
      for (;;) {
        this.#owner.onWaiting(true);
        const { value: frame } = await frames.next();
        this.#owner.onWaiting(false);
        if (frame === undefined) throw this.#malformed();
        if (!this.#owner.isWanted()) throw aborted(this.#originHash);
        if (await this.#take(frame)) return this.#positions ?? [];
      }
    } finally {
      this.#reserve(-this.#reserved);
      await frames.return();
    }
  }

  /** Resolves to whether that was the end. */
  async #take({ type, payload }: HandoverFrame): Promise<boolean> {
    const host = this.#host;
    if (type === "state" && payload.length <= this.#whole.length - this.#wholeSize) {
      this.#whole.set(payload, this.#wholeSize);
      this.#wholeSize += payload.length;
    } else if (
      type === "state-end" &&
      payload.length === HASH_SIZE &&
      this.#wholeSize === this.#whole.length
    ) {
      await this.#takeWhole(readU64(payload, 0));
    } else if (type === "head" && payload.length > HASH_SIZE) {
      await this.#takeHead({
        ...this.#snapshotOf(payload.subarray(HASH_SIZE)),
        headHash: readU64(payload, 0),
      });
    } else if (type === "mark") {
      await this.#owner.channelsReady();
      await writeFrame(this.#stream, "reached");
    } else if (type === "part") this.#addPart(payload);
    else if (type === "part-end" && host !== undefined) await this.#applyPart(host);
    else if (type === "event" && host !== undefined) await this.#replay(host, payload);
    else if (type === "positions" && host !== undefined && this.#positions === undefined) {
      this.#positions = decodePositions(payload);
      if (this.#positions === undefined) throw this.#malformed();
    } else if (type === "end" && payload.length === 4 && readU32(payload, 0) === this.#events) {
      if (host === undefined) throw this.#malformed();
      return true;
    } else throw this.#malformed();
    return false;
  }

  async #takeWhole(headHash: bigint): Promise<void> {
    const snapshot = { ...this.#snapshotOf(this.#whole), headHash };
    this.#whole = new Uint8Array(0);
    const host = await restoreHost(this.#context, snapshot, true);
    await this.#owner.onMade(host, host.ledger);
    this.#host = host;
  }

  /** The first makes the daemon of a state in parts; what comes later is the chain, and the channels, as they were when it stopped. */
  async #takeHead(head: StateSnapshot): Promise<void> {
    if (this.#host !== undefined) {
      this.#host.adoptHead(head);
      return;
    }
    const entry = requireEntry(this.#context, this.#originHash);
    const ledger = SubscriptionLedger.decode(head.bindings);
    if (ledger === undefined) throw this.#malformed();
    const identity = arrivingIdentity(this.#context, head, entry);
    try {
      const host = await makeHost(this.#context, entry, identity, (daemon, options) =>
        DaemonHost.create(identity, daemon, options),
      );
      await this.#owner.onMade(host, ledger);
      this.#host = host;
    } finally {
      if (identity !== entry.identity) identity.zeroize();
    }
  }

  async #replay(host: DaemonHost, payload: Uint8Array): Promise<void> {
    const event = readBufferedEvent(payload, 0, MAX_HANDOVER_FRAME_SIZE);
    if (event === undefined) throw this.#malformed();
    this.#events++;
    await host.replay({ ...event, payload: event.payload.slice() });
  }

  #addPart(chunk: Uint8Array): void {
    const size = this.#partSize + chunk.length;
    if (size > MAX_HANDOVER_PART_SIZE) throw tooLarge();
    if (size > this.#part.length) {
      const capacity = Math.min(MAX_HANDOVER_PART_SIZE, Math.max(MIN_CAPACITY, 2 * this.#part.length, size));
      this.#reserve(capacity - this.#part.length);
      const more = new Uint8Array(capacity);
      more.set(this.#part.subarray(0, this.#partSize));
      this.#part = more;
    }
    this.#part.set(chunk, this.#partSize);
    this.#partSize = size;
  }

  /** Gives the part to the daemon; the next one comes in the same memory. */
  async #applyPart(host: DaemonHost): Promise<void> {
    const bytes = this.#part.subarray(0, this.#partSize);
    this.#partSize = 0;
    await host.applyDelta(bytes);
  }

  #reserve(size: number): void {
    this.#owner.reserve(size);
    this.#reserved += size;
  }

  #snapshotOf(bytes: Uint8Array): StateSnapshot {
    const originHash = this.#originHash;
    const snapshot = decodeSnapshot(bytes);
    if (snapshot?.chainLink.originHash === originHash) return snapshot;
    throw new MigrationError("state-failed", "the snapshot could not be parsed", { originHash });
  }

  #malformed(): MigrationError {
    const originHash = this.#originHash;
    return new MigrationError("state-failed", "the stream of the handover is malformed", { originHash });
  }
}

/** The error of a handover that has ended before the daemon was here. */
export function aborted(originHash: bigint): MigrationError {
  return new MigrationError("state-failed", "the handover was aborted", { originHash });
}

/** The error of a state that exceeds a limit. */
export function tooLarge(): MigrationError {
  return new MigrationError("state-failed", "the state is too large");
}
