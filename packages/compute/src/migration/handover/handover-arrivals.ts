import { readU32, readU64 } from "@netmesh/wire";
import { DaemonHost } from "../../daemon-host.ts";
import { hexId } from "../../errors.ts";
import type { ByteStream } from "../../runtime/peer-network.ts";
import { decodeSnapshot, type StateSnapshot, sealSnapshot } from "../../state/snapshot.ts";
import { SubscriptionLedger } from "../../state/subscription-ledger.ts";
import { type Arrivals, arrivingIdentity, makeHost, rebind, requireEntry, restoreHost } from "../arrivals.ts";
import type { Departures } from "../departures.ts";
import { encodeFailureReason, type FailureReason, failureOf, MigrationError } from "../failure-reason.ts";
import type { HeldBackDaemon } from "../held-back.ts";
import { readBufferedEvent } from "../messages.ts";
import type { MigrationContext } from "../migration-context.ts";
import { MAX_PARTIALS, MAX_PARTIALS_PER_PEER } from "../snapshot-reassembler.ts";
import { type DaemonPosition, decodePositions } from "./channel-positions.ts";
import { handoverMarkers, markerName, putHandoverMarker } from "./handover-marker.ts";
import type { HandoverMessage } from "./handover-messages.ts";
import {
  HANDOVER_VERSION,
  type HandoverFrame,
  MAX_HANDOVER_FRAME_SIZE,
  MAX_HANDOVER_SNAPSHOT_SIZE,
  readFrames,
  writeFrame,
} from "./handover-stream.ts";
import {
  type HandoverTargetEffect,
  type HandoverTargetInput,
  type HandoverTargetPhase,
  stepHandoverTarget,
} from "./handover-target.ts";
import { PreparedChannels } from "./prepared-channels.ts";

/** Bytes of one part of a state, at most. */
export const MAX_HANDOVER_PART_SIZE: number = 64 * 1024 * 1024;
/** Daemons that have come and are remembered, so that a source that asks again is answered; of more, the oldest is forgotten. */
export const MAX_HANDED_IN = 65_536;

const OPEN_SIZE = 25;
const HASH_SIZE = 8;
/** Bytes that a part is first given room for. */
const MIN_CAPACITY = 64 * 1024;
const QUERY_MS = 1000;

/** A handover as its target sees it. */
interface Arrival {
  readonly originHash: bigint;
  readonly moveId: bigint;
  readonly source: bigint;
  phase: HandoverTargetPhase;
  stream: ByteStream | undefined;
  /** The daemon, once there is one; after a restart only when it is activated. */
  host: DaemonHost | undefined;
  entityId: Uint8Array | undefined;
  /** The daemon's channels, once there is a daemon; none after a restart. */
  channels: PreparedChannels | undefined;
  /** How far it had got on them at the source, where that is known. */
  positions: readonly DaemonPosition[] | undefined;
  lastSentMs: number;
  /** Of the snapshot that is being read; 0 for none. */
  readonly snapshotSize: number;
}

/** Daemons that other netmesh nodes hand over to this one (docs/protocol/migration.md). */
export class HandoverArrivals {
  readonly #context: MigrationContext;
  readonly #arrivals: Arrivals;
  readonly #departures: Departures;
  readonly #onReturn: (originHash: bigint) => void;
  /** Whether there is a store that outlives the process: without, nothing is written. */
  readonly #isDurable: boolean;
  /** Those under way, by origin: at most `MAX_PARTIALS_PER_PEER` of one peer, `MAX_PARTIALS` in all. */
  readonly #arriving: Map<bigint, Arrival> = new Map();
  /** Those that live here, by origin; at most `MAX_HANDED_IN`. */
  readonly #live: Map<bigint, Arrival> = new Map();
  /** What is being removed from the store, by origin: of what was arriving, and no more. */
  readonly #discarding: Map<bigint, Promise<void>> = new Map();
  /** Bytes of whole snapshots being read: at most `MAX_HANDOVER_SNAPSHOT_SIZE` for all together. */
  #snapshotBytes = 0;

  /** `onReturn` is told of a daemon that this node may once have handed over. */
  constructor(
    context: MigrationContext,
    arrivals: Arrivals,
    departures: Departures,
    onReturn: (originHash: bigint) => void,
  ) {
    this.#onReturn = onReturn;
    this.#context = context;
    this.#arrivals = arrivals;
    this.#departures = departures;
    this.#isDurable = context.options.store !== undefined;
  }

  /** Handovers under way. */
  get size(): number {
    return this.#arriving.size;
  }

  /** Whether a daemon is being handed over to this node. */
  isArriving(originHash: bigint): boolean {
    return this.#arriving.has(originHash);
  }

  /** Goes on with what the store knows, and says which daemons wait for a decision. */
  async restart(): Promise<HeldBackDaemon[]> {
    const heldBack: HeldBackDaemon[] = [];
    for (const marker of await handoverMarkers(this.#context.store, "in")) {
      const { originHash, moveId, node: source, entityId, isCommitted } = marker;
      const base = {
        originHash,
        moveId,
        source,
        stream: undefined,
        host: undefined,
        entityId,
        channels: undefined,
        positions: undefined,
        lastSentMs: 0,
        snapshotSize: 0,
      };
      if (isCommitted) {
        this.#remember({ ...base, phase: "live" });
        continue;
      }
      heldBack.push({ originHash, node: source, why: "arriving" });
      if (!(await this.#isStored(entityId))) {
        // It was not prepared, or is not wanted any more: the source has it.
        await this.#context.store.deleteMarker(markerName("in", originHash));
        continue;
      }
      this.#arriving.set(originHash, { ...base, phase: "prepared" });
    }
    return heldBack;
  }

  /** Takes a stream of a source. Never rejects. */
  async accept(stream: ByteStream, from: bigint): Promise<void> {
    let arrival: Arrival | undefined;
    try {
      const frames = readFrames(stream);
      const { value: open } = await frames.next();
      arrival = this.#open(open ?? undefined, stream, from);
      await this.#read(arrival, frames);
      if (this.#arriving.get(arrival.originHash) === arrival) this.#step(arrival, "received");
    } catch (error) {
      await this.#refuse(stream, failureOf(error));
      if (arrival !== undefined) this.#step(arrival, "fail");
    }
  }

  /** A message of a source; about an unknown move it changes nothing. False when it has no say. */
  receive({ type, originHash, moveId }: HandoverMessage, from: bigint): boolean {
    const arrival = this.#arriving.get(originHash) ?? this.#live.get(originHash);
    if (arrival === undefined || arrival.moveId !== moveId) return true;
    if (arrival.source !== from) return false;
    if (type === "prepare" || type === "commit" || type === "abort") this.#step(arrival, type);
    return true;
  }

  /** Asks the sources of daemons that wait for a decision. */
  tick(): void {
    const nowMs = this.#context.nowMs();
    for (const arrival of [...this.#arriving.values()]) {
      if (nowMs - arrival.lastSentMs < QUERY_MS) continue;
      arrival.lastSentMs = nowMs;
      this.#step(arrival, "tick");
    }
  }

  /** Discards what has not been prepared; the rest is decided at the next start. */
  shutdown(): void {
    for (const arrival of [...this.#arriving.values()]) {
      arrival.stream?.abort();
      if (arrival.phase === "receiving") this.#step(arrival, "fail");
      else {
        arrival.channels?.end();
        void arrival.host?.close();
      }
    }
    this.#arriving.clear();
  }

  #open(frame: HandoverFrame | undefined, stream: ByteStream, source: bigint): Arrival {
    const { payload } = frame ?? {};
    if (frame?.type !== "open" || payload?.length !== OPEN_SIZE || payload[0] !== HANDOVER_VERSION) {
      throw new MigrationError("state-failed", "not the beginning of a handover");
    }
    const originHash = readU64(payload, 1);
    const moveId = readU64(payload, 9);
    const size = readU64(payload, 17);
    if (size > MAX_HANDOVER_SNAPSHOT_SIZE) throw tooLarge();
    const isBusy = this.#arriving.has(originHash) || this.#arrivals.orchestratorOf(originHash) !== undefined;
    if (isBusy)
      throw new MigrationError("already-migrating", `${hexId(originHash)} is arriving`, { originHash });
    const refusal = this.#arrivals.refusalOf(originHash, source);
    if (refusal !== undefined) throw new Refusal(originHash, refusal);
    const { expectedOrchestrator = source } = requireEntry(this.#context, originHash);
    if (expectedOrchestrator !== source) {
      this.#context.stats.wrongPeer++;
      throw new MigrationError("state-failed", "the daemon is expected from another node", { originHash });
    }
    let ofPeer = 0;
    for (const other of this.#arriving.values()) if (other.source === source) ofPeer++;
    if (ofPeer >= MAX_PARTIALS_PER_PEER || this.#arriving.size >= MAX_PARTIALS) {
      throw new MigrationError("state-failed", "too many daemons are arriving", { originHash });
    }
    const arrival: Arrival = {
      originHash,
      moveId,
      source,
      phase: "receiving",
      stream,
      host: undefined,
      entityId: undefined,
      channels: undefined,
      positions: undefined,
      lastSentMs: this.#context.nowMs(),
      snapshotSize: Number(size),
    };
    this.#arriving.set(originHash, arrival);
    return arrival;
  }

  /** Makes the daemon of what the source writes, in the order in which it does. */
  async #read(arrival: Arrival, frames: AsyncGenerator<HandoverFrame, void>): Promise<void> {
    const { originHash, stream, snapshotSize } = arrival;
    const part = new Collector(MAX_HANDOVER_PART_SIZE);
    let events = 0;
    this.#reserve(snapshotSize);
    try {
      // Memory that is not written to is not taken: a source that announces more than it sends costs nothing.
      let whole = new Uint8Array(snapshotSize);
      let wholeSize = 0;
      for await (const { type, payload } of frames) {
        if (this.#arriving.get(originHash) !== arrival) throw aborted(originHash);
        if (type === "state" && payload.length <= whole.length - wholeSize) {
          whole.set(payload, wholeSize);
          wholeSize += payload.length;
        } else if (type === "state-end" && payload.length === HASH_SIZE && wholeSize === whole.length) {
          const snapshot = { ...checked(originHash, whole), headHash: readU64(payload, 0) };
          whole = new Uint8Array(0);
          const host = await restoreHost(this.#context, snapshot, true);
          await this.#admit(arrival, host, host.ledger);
        } else if (type === "head" && payload.length > HASH_SIZE) {
          const head = checked(originHash, payload.subarray(HASH_SIZE));
          await this.#takeHead(arrival, { ...head, headHash: readU64(payload, 0) });
        } else if (type === "mark" && stream !== undefined) {
          await arrival.channels?.ready;
          await writeFrame(stream, "reached");
        } else if (type === "part") part.add(payload);
        else if (type === "part-end" && arrival.host !== undefined)
          await part.drain(arrival.host);
        else if (type === "event" && arrival.host !== undefined) {
          const event = readBufferedEvent(payload, 0, MAX_HANDOVER_FRAME_SIZE);
          if (event === undefined) throw malformed(originHash);
          events++;
          await arrival.host.replay({ ...event, payload: event.payload.slice() });
        } else if (type === "positions" && arrival.host !== undefined && arrival.positions === undefined) {
          arrival.positions = decodePositions(payload);
          if (arrival.positions === undefined) throw malformed(originHash);
        } else if (type === "end" && payload.length === 4 && readU32(payload, 0) === events) {
          if (arrival.host === undefined) break;
          return;
        } else throw malformed(originHash);
      }
      throw malformed(originHash);
    } finally {
      this.#reserve(-snapshotSize);
    }
  }

  /** Before the parts of a state the daemon is made, after them it takes over its chain. */
  async #takeHead(arrival: Arrival, head: StateSnapshot): Promise<void> {
    if (arrival.host !== undefined) {
      arrival.host.adoptHead(head);
      return;
    }
    const entry = requireEntry(this.#context, arrival.originHash);
    const ledger = SubscriptionLedger.decode(head.bindings);
    if (ledger === undefined) throw malformed(arrival.originHash);
    const identity = arrivingIdentity(this.#context, head, entry);
    try {
      const host = await makeHost(this.#context, entry, identity, (daemon, options) =>
        DaemonHost.create(identity, daemon, options),
      );
      await this.#admit(arrival, host, ledger);
    } finally {
      if (identity !== entry.identity) identity.zeroize();
    }
  }

  /** The daemon is made; its channels are prepared while the rest of it comes. */
  async #admit(arrival: Arrival, host: DaemonHost, ledger: SubscriptionLedger): Promise<void> {
    const { originHash } = arrival;
    if (this.#arriving.get(originHash) !== arrival || host.originHash !== originHash) {
      void host.close();
      throw aborted(originHash);
    }
    arrival.host = host;
    arrival.entityId = host.identity.entityId;
    const { parts, options } = this.#context;
    const subscriptions = ledger.subscriptions();
    arrival.channels = new PreparedChannels(options.channels, arrival.originHash, subscriptions, parts.time);
    if (this.#isDurable) await this.#announce(arrival, arrival.entityId);
  }

  /**
   * The marker goes before the snapshot, and nothing older may be there: a start that finds the marker alone knows that the daemon was not prepared,
   * and none ever finds the snapshot alone.
   */
  async #announce(arrival: Arrival, entityId: Uint8Array): Promise<void> {
    const { originHash } = arrival;
    await this.#discarding.get(originHash);
    await this.#context.store.forget(entityId);
    if (this.#arriving.get(originHash) !== arrival) throw aborted(originHash);
    await this.#mark(arrival, false);
  }

  async #isStored(entityId: Uint8Array): Promise<boolean> {
    try {
      return (await this.#context.store.get(entityId)) !== undefined;
    } catch {
      // It is there, though it cannot be read now.
      return true;
    }
  }

  #reserve(size: number): void {
    if (this.#snapshotBytes + size > MAX_HANDOVER_SNAPSHOT_SIZE) {
      throw new MigrationError("state-failed", "too many bytes of snapshots are arriving");
    }
    this.#snapshotBytes += size;
  }

  #step(arrival: Arrival, input: HandoverTargetInput): void {
    const { phase, effects } = stepHandoverTarget(arrival.phase, input);
    arrival.phase = phase;
    for (const effect of effects) this.#do(arrival, effect);
  }

  #do(arrival: Arrival, effect: HandoverTargetEffect): void {
    const { originHash, moveId, source } = arrival;
    switch (effect) {
      case "send-prepared":
      case "send-committed":
      case "send-query":
      case "send-refused": {
        arrival.lastSentMs = this.#context.nowMs();
        const type = effect.slice("send-".length) as "prepared" | "committed" | "query" | "refused";
        this.#context.sendHandover(source, { type, originHash, moveId });
        break;
      }
      case "persist-prepared":
        this.#persist(arrival, () => this.#persistPrepared(arrival));
        break;
      case "persist-committed":
        this.#persist(arrival, () => this.#persistCommitted(arrival));
        break;
      case "activate":
        this.#activate(arrival);
        break;
      case "discard":
        this.#discard(arrival);
    }
  }

  #persist(arrival: Arrival, action: () => Promise<void>): void {
    action().then(
      () => this.#step(arrival, "persisted"),
      () => this.#step(arrival, "persist-failed"),
    );
  }

  /** The daemon with its key, sealed for this very node; who decides about it is there already. */
  async #persistPrepared(arrival: Arrival): Promise<void> {
    const { host } = arrival;
    if (!this.#isDurable || host === undefined) return;
    const { store, options } = this.#context;
    const taken = await host.snapshot();
    if (taken === undefined) throw new Error("the daemon gives no state");
    const targetPublicKey = options.staticKey?.publicKey;
    const snapshot =
      targetPublicKey === undefined ? taken : sealSnapshot(taken, host.identity, { targetPublicKey });
    const { kind } = requireEntry(this.#context, arrival.originHash);
    if (!(await store.put(snapshot, kind))) throw new Error("the store has another snapshot of the daemon");
  }

  /** After a restart the daemon is made first: only one that can live here is committed. */
  async #persistCommitted(arrival: Arrival): Promise<void> {
    if (arrival.host === undefined) arrival.host = await this.#restored(arrival);
    if (this.#context.parts.daemons.get(arrival.originHash) !== undefined)
      throw new Error("its place is taken");
    this.#onReturn(arrival.originHash);
    if (!this.#isDurable) return;
    // That this node has let it go once is over: whoever hands it over has had it since.
    for (const role of ["out", "departed"] as const) {
      await this.#context.store.deleteMarker(markerName(role, arrival.originHash));
    }
    await this.#mark(arrival, true);
  }

  async #restored(arrival: Arrival): Promise<DaemonHost> {
    const { store, parts } = this.#context;
    const stored = arrival.entityId === undefined ? undefined : await store.get(arrival.entityId);
    if (stored === undefined) throw new Error("the daemon is not in the store");
    if (parts.factories.get(arrival.originHash) === undefined) {
      const plan = parts.planOf(stored.kind);
      if (plan === undefined) throw new Error(`no factory for kind ${stored.kind}`);
      parts.factories.registerPlaceholder(arrival.originHash, plan);
    }
    return await restoreHost(this.#context, stored.snapshot);
  }

  async #mark({ originHash, moveId, source, entityId }: Arrival, isCommitted: boolean): Promise<void> {
    if (entityId === undefined) throw new Error("no daemon");
    await putHandoverMarker(this.#context.store, "in", {
      originHash,
      moveId,
      node: source,
      entityId,
      isCommitted,
    });
  }

  #activate(arrival: Arrival): void {
    const { originHash, host, source, channels, positions = [] } = arrival;
    if (host === undefined) return;
    const { parts, emit } = this.#context;
    void arrival.stream?.close();
    this.#arriving.delete(originHash);
    this.#remember(arrival);
    this.#departures.forget(originHash);
    parts.daemons.register(host);
    parts.factories.remove(originHash);
    const subscriptions = host.ledger.subscriptions();
    rebind(this.#context, host, channels?.begin(subscriptions, positions) ?? subscriptions);
    emit({ kind: "arrived", originHash, from: source });
  }

  #discard(arrival: Arrival): void {
    const { originHash, host, entityId, stream, channels } = arrival;
    if (this.#arriving.get(originHash) === arrival) this.#arriving.delete(originHash);
    stream?.abort();
    channels?.end();
    void host?.close();
    if (!this.#isDurable || entityId === undefined) return;
    const discarding = this.#remove(originHash, entityId).finally(() => {
      if (this.#discarding.get(originHash) === discarding) this.#discarding.delete(originHash);
    });
    this.#discarding.set(originHash, discarding);
  }

  /** The snapshot goes before the marker. Should the store fail, the source is asked again at the next start, and says the same. */
  async #remove(originHash: bigint, entityId: Uint8Array): Promise<void> {
    const { store } = this.#context;
    try {
      await store.forget(entityId);
      await store.deleteMarker(markerName("in", originHash));
    } catch {
      // What is left is told apart at the next start.
    }
  }

  #remember(arrival: Arrival): void {
    const { originHash } = arrival;
    this.#live.delete(originHash);
    this.#live.set(originHash, {
      ...arrival,
      host: undefined,
      stream: undefined,
      channels: undefined,
      positions: undefined,
      phase: "live",
    });
    if (this.#live.size <= MAX_HANDED_IN) return;
    for (const oldest of this.#live.keys()) {
      this.#live.delete(oldest);
      return;
    }
  }

  /** Tells the source why, as far as it still listens. */
  async #refuse(stream: ByteStream, reason: FailureReason): Promise<void> {
    try {
      await writeFrame(stream, "refused", encodeFailureReason(reason));
      void stream.close();
    } catch {
      stream.abort();
    }
  }
}

/** A reason of the target's own. */
class Refusal extends MigrationError {
  constructor(originHash: bigint, failure: FailureReason) {
    super(failure.kind, "detail" in failure ? failure.detail : failure.kind, { originHash, failure });
  }
}

/** Collects a part of a state, up to a limit; one after the other in the same memory. */
class Collector {
  readonly #limit: number;
  #bytes = new Uint8Array(0);
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(chunk: Uint8Array): void {
    const size = this.#size + chunk.length;
    if (size > this.#limit) throw tooLarge();
    if (size > this.#bytes.length) {
      const more = new Uint8Array(Math.max(MIN_CAPACITY, 2 * this.#bytes.length, size));
      more.set(this.#bytes.subarray(0, this.#size));
      this.#bytes = more;
    }
    this.#bytes.set(chunk, this.#size);
    this.#size = size;
  }

  /** Gives the part to the daemon. Fails as `DaemonHost.applyDelta`. */
  async drain(host: DaemonHost): Promise<void> {
    const bytes = this.#bytes.subarray(0, this.#size);
    this.#size = 0;
    await host.applyDelta(bytes);
  }
}

function tooLarge(): MigrationError {
  return new MigrationError("state-failed", "the state is too large");
}

function checked(originHash: bigint, bytes: Uint8Array): StateSnapshot {
  const snapshot = decodeSnapshot(bytes);
  if (snapshot?.chainLink.originHash === originHash) return snapshot;
  throw new MigrationError("state-failed", "the snapshot could not be parsed", { originHash });
}

function malformed(originHash: bigint): MigrationError {
  return new MigrationError("state-failed", "the stream of the handover is malformed", { originHash });
}

function aborted(originHash: bigint): MigrationError {
  return new MigrationError("state-failed", "the handover was aborted", { originHash });
}
