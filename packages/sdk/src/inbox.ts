import { type CoreEvent, type MeshNode, monotonicClock, type Session, type Stream } from "@netmesh/mesh";
import { toNetError } from "./errors.ts";
import { EventQueue, iterate, type OverflowPolicy } from "./event-queue.ts";
import { type EventBatch, type EventFilter, eventOf, type InboundEvent } from "./inbound-event.ts";
import { MeshStream } from "./mesh-stream.ts";

/** Events that have arrived on a stream. */
export type DataEvent = Extract<CoreEvent, { type: "data" }>;

/** What is of a stream that this side knows of. */
export type StreamEvent = Extract<
  CoreEvent,
  { type: "stream-writable" | "stream-drained" | "stream-ended" | "stream-failed" }
>;

/** What `Mesh.events` takes. */
export type EventsOptions = EventFilter & {
  readonly signal?: AbortSignal;
  readonly highWaterMark?: number;
  readonly overflow?: OverflowPolicy;
};

interface Consumer {
  readonly filter: EventFilter;
  readonly queue: EventQueue<InboundEvent>;
}

const DEFAULT_QUEUE_EVENTS = 1_024;

/** Brings what arrives to those who want it: handles of streams, loops over events; and keeps what may yet be wanted. */
export class Inbox {
  /** Events that nobody wanted. */
  unclaimedEvents = 0;
  readonly #streams = new Map<Stream, MeshStream>();
  /** What arrived on reliable streams that nobody has opened yet; their windows bound it. */
  readonly #unclaimed = new WeakMap<Stream, DataEvent[]>();
  /** Streams that the peer has finished, all of whose data was passed on. */
  readonly #ended = new WeakSet<Stream>();
  readonly #consumers = new Set<Consumer>();

  /** The handle of a stream, which gets what has waited for it; the same one every time. */
  open(node: MeshNode, session: Session, stream: Stream): MeshStream {
    const known = this.#streams.get(stream);
    if (known !== undefined) return known;
    const handle = new MeshStream(node, session, stream, (released) => this.#streams.delete(released));
    this.#streams.set(stream, handle);
    const waiting = this.#unclaimed.get(stream);
    this.#unclaimed.delete(stream);
    for (const data of waiting ?? []) this.#offer(data, handle);
    // Not `stream.remoteEnded`: inside a listener, events of the same input may still be on their way.
    if (this.#ended.has(stream)) handle.onEnded();
    return handle;
  }

  /** A loop over all events that match. */
  events(
    options: EventsOptions,
  ): AsyncIterableIterator<InboundEvent, undefined> & { readonly dropped: number } {
    const { signal, highWaterMark = DEFAULT_QUEUE_EVENTS, overflow = "drop-newest", ...filter } = options;
    const queue = new EventQueue<InboundEvent>(highWaterMark, overflow);
    const consumer = { filter, queue };
    this.#consumers.add(consumer);
    const iterator = iterate(queue, signal, () => this.#consumers.delete(consumer));
    return Object.defineProperty(iterator, "dropped", { get: () => queue.dropped }) as typeof iterator & {
      readonly dropped: number;
    };
  }

  /** Takes events of a stream that is no subscription's. */
  onData(node: MeshNode, data: DataEvent): void {
    const { session, stream, packet } = data;
    const handle = this.#streams.get(stream);
    if (handle !== undefined) {
      this.#offer(data, handle);
      return;
    }
    if (this.#offer(data)) {
      node.core.consumed(session, stream, packet.wireBytes);
      return;
    }
    // Nobody will open the stream of a channel that was left.
    if (!stream.receivesReliably || packet.channelHash !== 0) {
      this.unclaimedEvents += packet.events.length;
      node.core.consumed(session, stream, packet.wireBytes);
      return;
    }
    const waiting = this.#unclaimed.get(stream);
    if (waiting === undefined) this.#unclaimed.set(stream, [data]);
    else waiting.push(data);
  }

  /** Tells the handle of a stream, if there is one, how its stream fares. */
  onStream(event: StreamEvent): void {
    const { stream } = event;
    const handle = this.#streams.get(stream);
    switch (event.type) {
      case "stream-writable":
        handle?.onWritable();
        return;
      case "stream-drained":
        handle?.onDrained();
        return;
      case "stream-ended":
        this.#ended.add(stream);
        handle?.onEnded();
        return;
      default:
        for (const { packet } of this.#unclaimed.get(stream) ?? [])
          this.unclaimedEvents += packet.events.length;
        this.#unclaimed.delete(stream);
        handle?.onFailed(toNetError(event.error));
    }
  }

  /** Closes every stream, waiting for acknowledgements. */
  async closeStreams(timeoutMs: number): Promise<void> {
    await Promise.all([...this.#streams.values()].map((stream) => stream.close({ timeoutMs })));
  }

  /** Ends every loop. */
  end(): void {
    for (const { queue } of [...this.#consumers]) queue.end();
    this.#consumers.clear();
  }

  /** Gives events to the stream's handle and to whoever iterates all events; whether one of the latter wanted them. */
  #offer({ session, stream, packet }: DataEvent, handle?: MeshStream): boolean {
    let isWanted = false;
    if (handle === undefined && this.#consumers.size === 0) return false;
    const receivedAtMs = monotonicClock.now();
    const { events, sequence, wireBytes, subprotocolId, channelHash, originHash } = packet;
    const batch: EventBatch = {
      peer: session.peer.nodeId,
      streamId: stream.id,
      sequence,
      index: 0,
      subprotocolId,
      channelHash,
      originHash,
      events,
      receivedAtMs,
    };
    handle?.onData(batch, wireBytes);
    if (this.#consumers.size === 0) return false;
    for (let index = 0; index < events.length; index++) {
      const event = eventOf(batch, index);
      for (const { filter, queue } of this.#consumers) {
        if (queue.isEnded || !matches(filter, event)) continue;
        isWanted = true;
        queue.push(event);
      }
    }
    return isWanted;
  }
}

function matches(filter: EventFilter, event: InboundEvent): boolean {
  return (
    (filter.peer === undefined || filter.peer === event.peer) &&
    (filter.streamId === undefined || filter.streamId === event.streamId) &&
    (filter.channelHash === undefined || filter.channelHash === event.channelHash)
  );
}
