import { writeU32, writeU64 } from "@netmesh/wire";
import type { HeldDaemon } from "../../daemon-host.ts";
import type { ByteStream } from "../../runtime/peer-network.ts";
import type { CausalEvent } from "../../state/causal-event.ts";
import {
  encodeSnapshot,
  encodeSnapshotPieces,
  type StateSnapshot,
  snapshotSize,
} from "../../state/snapshot.ts";
import { MigrationError } from "../failure-reason.ts";
import { BUFFERED_EVENT_OVERHEAD, writeBufferedEvent } from "../messages.ts";
import type { MigrationContext } from "../migration-context.ts";
import { DEFAULT_PHASE_TIMEOUT_MS } from "../migrator-options.ts";
import type { MigrationPhase } from "../phases.ts";
import type { MigrationSource, SourceRecord } from "../source.ts";
import { encodePositions } from "./channel-positions.ts";
import { FollowedChannels } from "./followed-channels.ts";
import { HANDOVER_VERSION, writeChunks, writeFrame } from "./handover-stream.ts";

/**
 * How long a source waits until the daemon has processed what its channels had brought when the target subscribed, but no longer than half of
 * what a phase may take. What it has not processed by then does not reach it at the target.
 */
const FOLLOW_MS = 10_000;
/** With as many buffered events the daemon is stopped; with more, they are sent while it runs. */
const FEW_EVENTS = 64;
/** Rounds after which it is stopped anyway. */
const MAX_ROUNDS = 16;
/** What the rest of a state in parts may take when the daemon is stopped for it, at the pace so far, and as many bytes in any case. */
const REST_MS = 10;
const REST_BYTES = 64 * 1024;
/** A daemon that changes faster than it travels is stopped once this many times its state has been sent. */
const MAX_PASSES = 2;
/** Sizes of the first frame, and of the hash before a head. */
const OPEN_SIZE = 25;
const HASH_SIZE = 8;
const NOTHING = new Uint8Array(0);

/** Who hears how far a copy is. */
export interface CopyObserver {
  /** The move has got into that phase; from `cutover` on nothing is delivered to the daemon. */
  onPhase(phase: MigrationPhase): void;
  /** So many bytes of state and events were written. */
  onWritten(size: number): void;
}

/** Writes a daemon to the stream of its handover while it runs, and stops it for the last of it (docs/protocol/migration.md). */
export class HandoverCopy {
  readonly #context: MigrationContext;
  readonly #source: MigrationSource;
  readonly #record: SourceRecord;
  readonly #stream: ByteStream;
  readonly #observer: CopyObserver;
  /** Who waits for the target's answer to a mark. */
  #waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void } | undefined;
  #isEnded = false;
  #written = 0;
  /** The daemon's channels, once the target has subscribed to them. */
  #followed: FollowedChannels | undefined;

  constructor(
    context: MigrationContext,
    source: MigrationSource,
    record: SourceRecord,
    stream: ByteStream,
    observer: CopyObserver,
  ) {
    this.#context = context;
    this.#source = source;
    this.#record = record;
    this.#stream = stream;
    this.#observer = observer;
  }

  /**
   * Writes all of it, with the snapshot as it travels, whole or as the head of a state in parts. Rejects as the stream and the daemon do, and with
   * `cancelled` when the handover ends.
   */
  async write(moveId: bigint, snapshot: StateSnapshot, isInParts: boolean): Promise<void> {
    const open = new Uint8Array(OPEN_SIZE);
    open[0] = HANDOVER_VERSION;
    writeU64(open, 1, this.#record.originHash);
    writeU64(open, 9, moveId);
    writeU64(open, 17, isInParts ? 0n : BigInt(snapshotSize(snapshot)));
    await writeFrame(this.#stream, "open", open);
    this.#observer.onPhase("transfer");
    const events = isInParts ? await this.#writeParts(snapshot) : await this.#writeWhole(snapshot);
    const positions = this.#followed?.positions() ?? [];
    if (positions.length > 0) await writeFrame(this.#stream, "positions", encodePositions(positions));
    const end = new Uint8Array(4);
    writeU32(end, 0, events);
    await writeFrame(this.#stream, "end", end);
  }

  /** The target has answered a mark. */
  reach(): void {
    this.#waiting?.resolve();
  }

  /** The handover has ended: nobody waits any more. */
  end(): void {
    this.#isEnded = true;
    this.#waiting?.reject(this.#cancelled());
  }

  /** Resolves to how many events followed the snapshot. */
  async #writeWhole(snapshot: StateSnapshot): Promise<number> {
    for (const piece of encodeSnapshotPieces(snapshot)) {
      await writeChunks(this.#stream, "state", piece, (size) => this.#onWritten(size));
    }
    await writeFrame(this.#stream, "state-end", hashOf(snapshot));
    await this.#catchUp();
    const { originHash, buffer } = this.#record;
    let count = 0;
    const writeEvents = async (events: readonly CausalEvent[]): Promise<void> => {
      for (const event of events) {
        const bytes = new Uint8Array(BUFFERED_EVENT_OVERHEAD + event.payload.length);
        writeBufferedEvent(bytes, 0, event);
        await writeFrame(this.#stream, "event", bytes);
        this.#onWritten(bytes.length);
      }
      count += events.length;
    };
    for (let round = 0; round < MAX_ROUNDS && buffer.size > FEW_EVENTS; round++) {
      await writeEvents(this.#source.takeBuffered(originHash));
      await this.#mark();
    }
    await writeEvents(await this.#stop());
    return count;
  }

  /** Resolves to 0: what happens is in the parts. */
  async #writeParts(snapshot: StateSnapshot): Promise<number> {
    const { host, originHash } = this.#record;
    await this.#writeHead({ ...snapshot, state: NOTHING });
    let since: bigint | undefined;
    /** Copies a part; how many bytes the target still lacks then. */
    const copy = async (from: Pick<HeldDaemon, "snapshotDelta">): Promise<number> => {
      const { bytes, version, remaining } = await from.snapshotDelta(since);
      await writeChunks(this.#stream, "part", bytes, (size) => this.#onWritten(size));
      await writeFrame(this.#stream, "part-end");
      since = version;
      return remaining;
    };
    const startedMs = this.#context.nowMs();
    let lacking = await copy(host);
    const limit = MAX_PASSES * (this.#written + lacking);
    const isMuch = (): boolean => {
      const msPerByte = (this.#context.nowMs() - startedMs) / this.#written;
      return lacking > REST_BYTES && lacking * msPerByte > REST_MS && this.#written < limit;
    };
    while (isMuch()) lacking = await copy(host);
    await this.#catchUp();
    // What has changed while the target caught up.
    do lacking = await copy(host);
    while (isMuch());
    await this.#stop();
    const held = this.#source.heldOf(originHash);
    if (held === undefined) throw this.#cancelled();
    while ((await copy(held)) > 0);
    await this.#writeHead(held.head());
    return 0;
  }

  async #writeHead(head: StateSnapshot): Promise<void> {
    const encoded = encodeSnapshot(head);
    const payload = new Uint8Array(HASH_SIZE + encoded.length);
    payload.set(hashOf(head));
    payload.set(encoded, HASH_SIZE);
    await writeFrame(this.#stream, "head", payload);
  }

  /**
   * Waits for the target to have the daemon, and to have subscribed to its channels, then for the daemon to get as far on these as what the target has
   * of them reaches back.
   */
  async #catchUp(): Promise<void> {
    this.#observer.onPhase("restore");
    await this.#mark();
    const { options, parts } = this.#context;
    const { host, originHash } = this.#record;
    const limitMs = Math.min(FOLLOW_MS, (options.phaseTimeoutMs ?? DEFAULT_PHASE_TIMEOUT_MS) / 2);
    const subscriptions = host.ledger.subscriptions();
    const { channels } = options;
    this.#followed = await FollowedChannels.of(channels, originHash, subscriptions, limitMs, parts.time);
    if (this.#isEnded) throw this.#cancelled();
    this.#observer.onPhase("replay");
  }

  /** Resolves when the target has taken over all that was written. */
  async #mark(): Promise<void> {
    if (this.#isEnded) throw this.#cancelled();
    const reached = new Promise<void>((resolve, reject) => {
      this.#waiting = { resolve, reject };
    });
    // Writing fails as well then, and earlier.
    reached.catch(() => undefined);
    await writeFrame(this.#stream, "mark");
    await reached;
    this.#waiting = undefined;
    this.#onWritten(0);
  }

  /** From here on nothing is delivered to the daemon; resolves to what happened last. */
  async #stop(): Promise<readonly CausalEvent[]> {
    const events = await this.#source.cutover(this.#record.originHash);
    this.#observer.onPhase("cutover");
    return events;
  }

  #onWritten(size: number): void {
    this.#written += size;
    this.#observer.onWritten(size);
  }

  #cancelled(): MigrationError {
    const { originHash } = this.#record;
    return new MigrationError("cancelled", "the move has ended", { originHash });
  }
}

/** What a chain without a payload at hand needs to go on: the parent hash of its next link. */
function hashOf({ headHash = 0n }: StateSnapshot): Uint8Array {
  const bytes = new Uint8Array(HASH_SIZE);
  writeU64(bytes, 0, headHash);
  return bytes;
}
