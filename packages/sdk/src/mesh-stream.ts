import type { MeshNode, Session, Stream } from "@netmesh/mesh";
import { abortable, type OpOptions, signalOf, toEvents } from "./arguments.ts";
import { StreamError, toNetError } from "./errors.ts";
import type { EventBatch, InboundEvent } from "./inbound-event.ts";
import { InboundQueue } from "./inbound-queue.ts";

/** Events that wait on a stream whose sender does not wait for the reader. */
const UNPACED_EVENTS = 1_024;
/** How long `close` waits for acknowledgements unless told otherwise. */
const CLOSE_TIMEOUT_MS = 5_000;

/** What a stream has done so far; all 64-bit counts are exact up to 2^53. */
export interface StreamStats {
  /** Packets sent, repairs not counted. */
  readonly txSequence: number;
  /** Lowest sequence not yet received; on unreliable streams one more than the highest received. */
  readonly rxSequence: number;
  /** Packets sent and not acknowledged. */
  readonly unacknowledged: number;
  /** Bytes accepted from `write` and not in a packet yet. */
  readonly queuedBytes: number;
  /** Events received and not read yet. */
  readonly inboundPending: number;
  /** Events lost because nobody read them; only on unreliable streams. */
  readonly inboundDropped: number;
  readonly backpressureEvents: number;
  readonly txCreditRemaining: number;
  readonly txWindow: number;
  readonly grantsReceived: number;
  readonly grantsSent: number;
  /** Smoothed round trip in milliseconds, once known; reliable streams only. */
  readonly roundTripMs: number | undefined;
  /** Packets that may be in flight; reliable streams only. */
  readonly congestionWindow: number | undefined;
}

/**
 * One stream to one peer, both directions. Iterating it yields what the peer writes on the same stream id; it ends when
 * the peer has finished, and throws when the stream fails, after everything that arrived in order. Leaving the loop
 * early leaves the rest for a later one.
 */
export class MeshStream implements AsyncIterable<InboundEvent>, AsyncDisposable {
  /** Node id of the peer. */
  readonly peer: bigint;
  readonly id: bigint;
  readonly #node: MeshNode;
  readonly #session: Session;
  readonly #stream: Stream;
  readonly #onRelease: (stream: Stream) => void;
  readonly #inbound: InboundQueue;
  /** What `readable` reads from. */
  #reader: AsyncIterator<InboundEvent, undefined> | undefined;
  /** The list of a `write` of one event, used for each that finds room at once. */
  readonly #single: Uint8Array[] = [NO_EVENT];
  readonly #roomWaiters: (() => void)[] = [];
  readonly #drainWaiters: (() => void)[] = [];
  /** The write that others have to wait for. */
  #turn: Promise<void> | undefined;
  #error: unknown;
  #isReleased = false;
  #dropped = 0;
  #readable: ReadableStream<Uint8Array> | undefined;
  #writable: WritableStream<Uint8Array> | undefined;

  /** Use `Mesh.openStream`. */
  constructor(node: MeshNode, session: Session, stream: Stream, onRelease: (stream: Stream) => void) {
    this.peer = session.peer.nodeId;
    this.id = stream.id;
    this.#node = node;
    this.#session = session;
    this.#stream = stream;
    this.#onRelease = onRelease;
    // The sender of a reliable stream waits for the reader, which bounds the queue in bytes.
    this.#inbound = new InboundQueue((wireBytes) => {
      if (wireBytes === 0) return;
      node.core.consumed(session, stream, wireBytes);
      node.touch();
    });
  }

  /**
   * Largest event that can be written, in bytes: what fits one datagram of the present path, and the stream's window. It
   * grows with what probes find to pass, and shrinks when that does not pass any more; what was written before arrives
   * all the same.
   */
  get maxEventBytes(): number {
    return this.#node.core.maxEventBytes(this.#session, this.#stream);
  }

  /** Event size that fills one datagram of the present path, in bytes: the best size for bulk data. */
  get preferredEventBytes(): number {
    return this.maxEventBytes;
  }

  /**
   * Sends events in order and resolves once all are accepted; waits for room as long as it takes. With `wait: false` it
   * rejects with `backpressure` instead, telling in `accepted` how many events are on their way. Aborting leaves the
   * events accepted so far on their way. Rejects with `message-too-large` before anything is sent; {@link maxEventBytes}
   * at the time of the call counts.
   */
  write(
    data: Uint8Array | readonly Uint8Array[],
    options?: OpOptions & { readonly wait?: boolean },
  ): Promise<void> {
    try {
      const largest = this.maxEventBytes;
      if (data instanceof Uint8Array && this.#turn === undefined && options?.signal?.aborted !== true) {
        const single = this.#single;
        single[0] = data;
        const accepted = this.#accept(single, largest);
        single[0] = NO_EVENT;
        if (accepted === 1) return RESOLVED;
        if (options?.wait === false) throw backpressure(0);
        return this.#writeRest([data], largest, 0, options);
      }
      const events = toEvents(data);
      if (this.#turn === undefined && options?.signal?.aborted !== true) {
        const accepted = this.#accept(events, largest);
        if (accepted === events.length) return RESOLVED;
        if (options?.wait === false) throw backpressure(accepted);
        return this.#writeRest(events, largest, accepted, options);
      }
      if (options?.wait === false) throw backpressure(0);
      return this.#writeRest(events, largest, 0, options);
    } catch (error) {
      return Promise.reject(toNetError(error));
    }
  }

  /** Sends as many events as there is room for, and returns how many. */
  tryWrite(events: readonly Uint8Array[]): number {
    const checked = toEvents(events);
    if (this.#turn !== undefined) return 0;
    try {
      return this.#accept(checked, this.maxEventBytes);
    } catch (error) {
      throw toNetError(error);
    }
  }

  async #writeRest(
    events: readonly Uint8Array[],
    largest: number,
    from: number,
    options: OpOptions | undefined,
  ): Promise<void> {
    const signal = signalOf(options);
    const before = this.#turn;
    let done: () => void = () => {};
    const turn = new Promise<void>((resolve) => {
      done = resolve;
    });
    const own = before === undefined ? turn : before.then(() => turn);
    this.#turn = own;
    let isOwnTurn = before === undefined;
    try {
      if (before !== undefined) await waitFor(before, signal);
      isOwnTurn = true;
      signal?.throwIfAborted();
      let accepted = from + (before === undefined ? 0 : this.#accept(events.slice(from), largest));
      while (accepted < events.length) {
        await this.#room(signal);
        accepted += this.#accept(events.slice(accepted), largest);
      }
    } catch (error) {
      throw toNetError(error);
    } finally {
      done();
      const leave = () => {
        if (this.#turn === own) this.#turn = undefined;
      };
      // Aborted in the queue: the writes before this one still have theirs.
      if (isOwnTurn) leave();
      else void own.then(leave);
    }
  }

  #accept(events: readonly Uint8Array[], largest: number): number {
    if (this.#isReleased) throw this.#error ?? new StreamError("not-connected", "the stream was closed");
    const accepted = this.#node.core.write(this.#session, this.#stream, events, largest);
    this.#node.touch();
    return accepted;
  }

  #room(signal: AbortSignal | undefined): Promise<void> {
    return abortable<void>(signal, ({ resolve }) => {
      if (this.#stream.wantsRoom && !this.#isReleased) this.#roomWaiters.push(resolve);
      else resolve();
    });
  }

  /**
   * Finishes writing and resolves once the peer has acknowledged everything; its loop then ends. Reading goes on. Rejects
   * with the stream's error when it fails before.
   */
  async end(options?: OpOptions): Promise<void> {
    if (this.#isReleased) {
      if (this.#error !== undefined) throw this.#error;
      return;
    }
    const signal = signalOf(options);
    if (this.#turn !== undefined) await waitFor(this.#turn, signal);
    this.#node.core.finish(this.#session, this.#stream);
    this.#node.touch();
    await abortable<void>(signal, ({ resolve }) => {
      if (this.#isFinished || this.#isReleased) resolve();
      else this.#drainWaiters.push(resolve);
    });
    if (this.#error !== undefined) throw this.#error;
  }

  get #isFinished(): boolean {
    return this.#stream.endSent && this.#stream.isDrained;
  }

  /** Iterates what arrives until the signal ends the loop. */
  events(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<InboundEvent, undefined> {
    return this.#inbound.events(options?.signal);
  }

  /**
   * Iterates what arrives packet by packet: one step of the loop for all events that have come in one. For many small events
   * that is several times as fast as {@link events}; both read from the same stream, and each event is read once.
   */
  batches(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<EventBatch, undefined> {
    return this.#inbound.batches(options?.signal);
  }

  /** {@link events} without a signal. */
  [Symbol.asyncIterator](): AsyncIterator<InboundEvent, undefined> {
    return this.events();
  }

  /** What arrives, as a WHATWG stream of bytes in order. Cancelling it resets the stream. */
  get readable(): ReadableStream<Uint8Array> {
    this.#readable ??= new ReadableStream<Uint8Array>(
      {
        pull: async (controller) => {
          this.#reader ??= this.#inbound.events();
          const result = await this.#reader.next();
          if (result.done === true) controller.close();
          else controller.enqueue(result.value.data);
        },
        cancel: () => this.reset(),
      },
      { highWaterMark: 0 },
    );
    return this.#readable;
  }

  /**
   * A WHATWG stream that sends its chunks, cut into events that fit a datagram. Closing it finishes writing and waits for
   * the acknowledgements; aborting it resets the stream.
   */
  get writable(): WritableStream<Uint8Array> {
    this.#writable ??= new WritableStream<Uint8Array>({
      write: (chunk) => this.writeBytes(chunk),
      close: () => this.end(),
      abort: () => this.reset(),
    });
    return this.#writable;
  }

  /** Sends bytes of any length, cut into events that fill a datagram each. */
  writeBytes(bytes: Uint8Array, options?: OpOptions): Promise<void> {
    const size = this.preferredEventBytes;
    if (bytes.length <= size) return this.write(bytes, options);
    const events: Uint8Array[] = [];
    for (let start = 0; start < bytes.length; start += size) events.push(bytes.subarray(start, start + size));
    return this.write(events, options);
  }

  /** Figures of this stream. */
  stats(): StreamStats {
    const { credit, sendWindow, receive } = this.#stream;
    return {
      txSequence: sendWindow?.next ?? this.#stream.nextSequence,
      rxSequence: receive.next,
      unacknowledged: sendWindow?.inFlight ?? 0,
      queuedBytes: this.#stream.queuedBytes,
      inboundPending: this.#inbound.size,
      inboundDropped: this.#dropped,
      backpressureEvents: credit.backpressureEvents,
      txCreditRemaining: credit.remaining,
      txWindow: credit.windowBytes,
      grantsReceived: credit.grantsReceived,
      grantsSent: this.#stream.grantsSent,
      roundTripMs: sendWindow?.roundTrip.smoothedMs,
      congestionWindow: sendWindow?.congestion.windowPackets,
    };
  }

  /**
   * Finishes writing, waits up to `timeoutMs` (default 5000) for the acknowledgements, and releases the stream; when
   * they do not come the peer is told that the stream was cut short. A peer that has not finished its own side cannot write
   * any more. What was not read is dropped. Idempotent.
   */
  async close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    if (this.#isReleased) return;
    let complete = false;
    try {
      await this.end({ timeoutMs: options.timeoutMs ?? CLOSE_TIMEOUT_MS });
      complete = true;
    } catch {
      // Whatever kept the end from being acknowledged, the peer learns that it did not get everything.
    }
    // A peer that has not finished would go on writing to nobody.
    this.#close(!complete || !this.#stream.remoteEnded);
  }

  /** Releases the stream at once; the peer's loop throws `stream-reset`. Idempotent. */
  reset(): void {
    this.#close(true);
  }

  #close(reset: boolean): void {
    if (this.#isReleased) return;
    this.#node.core.closeStream(this.#session, this.#stream, reset);
    this.#node.touch();
    this.#release(undefined);
  }

  /** {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // What the mesh passes on; stripped from the published types.

  /** @internal */
  onData(batch: EventBatch, wireBytes: number): void {
    const { events } = batch;
    const room = this.#stream.receivesReliably ? events.length : UNPACED_EVENTS - this.#inbound.size;
    if (events.length <= room) {
      this.#inbound.push(batch, wireBytes);
      return;
    }
    this.#dropped += events.length - Math.max(0, room);
    if (room > 0) this.#inbound.push({ ...batch, events: events.slice(0, room) }, wireBytes);
  }

  /** @internal */
  onWritable(): void {
    for (const resolve of this.#roomWaiters.splice(0)) resolve();
  }

  /** @internal */
  onDrained(): void {
    if (!this.#isFinished) return;
    for (const resolve of this.#drainWaiters.splice(0)) resolve();
  }

  /** @internal */
  onEnded(): void {
    this.#inbound.end();
  }

  /** @internal */
  onFailed(error: unknown): void {
    this.#release(error);
  }

  #release(error: unknown): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#error = error;
    this.#inbound.end((error as { code?: string } | undefined)?.code === "shutdown" ? undefined : error);
    this.onWritable();
    for (const resolve of this.#drainWaiters.splice(0)) resolve();
    this.#onRelease(this.#stream);
  }
}

const NO_EVENT = new Uint8Array(0);
const RESOLVED: Promise<void> = Promise.resolve();

function backpressure(accepted: number): StreamError {
  return new StreamError("backpressure", "the stream has no room (window or congestion)", { accepted });
}

function waitFor(promise: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return promise;
  return abortable<void>(signal, ({ resolve, reject }) => {
    promise.then(resolve, reject);
  });
}
