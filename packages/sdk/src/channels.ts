import { Token, TokenChain } from "@netmesh/crypto";
import {
  type ChannelSubscription,
  type CoreEvent,
  type PublishOptions as EnginePublishOptions,
  type MeshNode,
  monotonicClock,
  type PublishedPosition,
} from "@netmesh/mesh";
import { abortable, type OpOptions, requireId, signalOf, toEvents } from "./arguments.ts";
import type { ChannelCursor } from "./channel-cursor.ts";
import { ChannelError, toNetError } from "./errors.ts";
import { Subscription, type SubscriptionOptions, Taken } from "./subscription.ts";

/** How to subscribe to a channel. */
export interface SubscribeOptions extends SubscriptionOptions, OpOptions {
  /**
   * What shows that this node may: a token, or a chain of tokens that were passed on. Default: one that was installed here
   * (`mesh.installToken`) and fits.
   */
  readonly token?: Token | TokenChain | undefined;
  /** Queue group: each event goes to one of its members only. Default: none, every event comes here. */
  readonly group?: string | undefined;
}

/** How to publish. */
export interface PublishOptions extends EnginePublishOptions {}

/** A subscriber that was not sent everything. */
export interface PublishFailure {
  /** Its node id. */
  readonly peer: bigint;
  /** Why: `not-connected`, `backpressure`, `message-too-large` and so on, by its `code`. */
  readonly error: ChannelError;
  /** How many of the events are on their way all the same. */
  readonly accepted: number;
}

/** What became of a publication. */
export interface PublishReport {
  /** Subscribers that it was for; those that may not have it are not counted. */
  readonly attempted: number;
  /** Subscribers to whose sessions all of it was handed over; not a receipt. */
  readonly delivered: number;
  readonly errors: readonly PublishFailure[];
}

type DataEvent = Extract<CoreEvent, { type: "data" }>;
type MembershipEvent = Extract<
  CoreEvent,
  { type: "subscribed" | "subscribe-failed" | "subscription-lost" | "resubscribed" | "unsubscribed" }
>;

type PositionEvent = Extract<CoreEvent, { type: "channel-position" }>;

/** The loss of a connection, which says nothing about whether a request will be granted. */
const CONNECTION_LOSSES: ReadonlySet<string> = new Set(["peer-lost", "session-replaced"]);

interface Waiter {
  resolve(): void;
  reject(error: unknown): void;
}

/** What one subscription of the engine has here. */
interface Shared {
  readonly handles: Set<Subscription>;
  /** Who waits for it to be accepted. */
  readonly waiters: Set<Waiter>;
}

/** The channels of a mesh: gives what arrives to its subscriptions, and reports of publications to the application. */
export class MeshChannels {
  readonly #node: MeshNode;
  readonly #subscriptions = new Map<ChannelSubscription, Shared>();
  /** Who waits for a publisher to know of an end. */
  readonly #farewells = new Map<ChannelSubscription, (() => void)[]>();
  /** The subscriptions that handles share. */
  readonly #engines = new WeakMap<Subscription, ChannelSubscription>();
  /** Who waits for a publisher to say how far it is, by nonce; each leaves when the engine has an answer, or none in time. */
  readonly #questions = new Map<bigint, (answer: PublishedPosition | undefined) => void>();

  constructor(node: MeshNode) {
    this.#node = node;
  }

  /** See `Mesh.subscribe`. A cursor counts from the beginning what comes. */
  async subscribe(
    publisher: bigint,
    name: string,
    options: SubscribeOptions,
    cursor?: ChannelCursor,
  ): Promise<Subscription> {
    requireId(publisher, "publisher");
    const { token, group } = options;
    const chain = token instanceof Token ? new TokenChain([token]) : token;
    const signal = signalOf(options);
    signal?.throwIfAborted();
    const engine = this.#node.core.channels.subscribe(publisher, name, { chain, group });
    const shared = this.#subscriptions.get(engine) ?? { handles: new Set(), waiters: new Set() };
    this.#subscriptions.set(engine, shared);
    const handle: Subscription = new Subscription(publisher, name, options, () =>
      this.#close(engine, handle),
    );
    handle.cursor = cursor;
    shared.handles.add(handle);
    this.#engines.set(handle, engine);
    this.#node.touch();
    try {
      await abortable<void>(signal, (waiter) => {
        shared.waiters.add(waiter);
      });
    } catch (error) {
      handle.end();
      void this.#close(engine, handle);
      throw error;
    }
    return handle;
  }

  /** Asks how far the channel of a subscription is; undefined when its publisher does not say. Never rejects. */
  async askPosition(handle: Subscription): Promise<PublishedPosition | undefined> {
    const engine = this.#engines.get(handle);
    if (engine === undefined || this.#node.isClosed) return undefined;
    const nonce = this.#node.core.channels.askPosition(engine);
    if (nonce === undefined) return undefined;
    this.#node.touch();
    return await new Promise((resolve) => this.#questions.set(nonce, resolve));
  }

  /** Takes a publisher's answer. */
  onPosition({ nonce, answer }: PositionEvent): void {
    this.#questions.get(nonce)?.(answer);
    this.#questions.delete(nonce);
  }

  /** See `Mesh.publish`. */
  publish(name: string, data: Uint8Array | readonly Uint8Array[], options: PublishOptions): PublishReport {
    const { attempted, delivered, errors } = this.#node.core.channels.publish(name, toEvents(data), options);
    this.#node.touch();
    const report = {
      attempted,
      delivered,
      errors: errors.map(({ peer, error, accepted }) => ({
        peer,
        error: new ChannelError(error.code, error.message, undefined, { cause: error }),
        accepted,
      })),
    };
    const isLenient = options.onFailure === undefined || options.onFailure === "best-effort";
    if (isLenient && attempted > 0 && delivered === 0) {
      throw new ChannelError("publish-failed", `none of ${attempted} subscribers could be sent to`, report);
    }
    return report;
  }

  /** Takes events that belong to a subscription; false when they do not. */
  onData({ session, stream, packet }: DataEvent): boolean {
    const engine = this.#node.core.subscriptionOf(session, stream);
    const shared = engine === undefined ? undefined : this.#subscriptions.get(engine);
    if (engine === undefined || shared === undefined) return false;
    const { events, sequence, wireBytes } = packet;
    const taken = new Taken(shared.handles.size, () => {
      this.#node.core.consumed(session, stream, wireBytes);
      this.#node.touch();
    });
    const last = events.length - 1;
    const receivedAtMs = monotonicClock.now();
    for (const handle of shared.handles) {
      events.forEach((data, index) => {
        const message = { publisher: engine.publisher, data, sequence, index, receivedAtMs };
        handle.onMessage(message, stream.receivesReliably, index === last ? taken : undefined);
      });
    }
    return true;
  }

  /** Takes what the engine tells of a subscription. */
  onEvent(event: MembershipEvent): void {
    const { subscription } = event;
    if (event.type === "unsubscribed") {
      for (const resolve of this.#farewells.get(subscription) ?? []) resolve();
      this.#farewells.delete(subscription);
      return;
    }
    const shared = this.#subscriptions.get(subscription);
    if (shared === undefined) return;
    const error = "error" in event ? toNetError(event.error) : undefined;
    if (event.type === "subscribed") this.#settle(shared, undefined);
    else if (event.type === "subscribe-failed") {
      this.#subscriptions.delete(subscription);
      this.#settle(shared, error);
      for (const handle of shared.handles) handle.end(error);
    } else if (event.type === "subscription-lost") {
      if (!CONNECTION_LOSSES.has(event.error.code)) this.#settle(shared, error);
      for (const handle of shared.handles) handle.onLost(error);
    } else for (const handle of shared.handles) handle.onResubscribed();
  }

  #settle({ waiters }: Shared, error: unknown): void {
    for (const waiter of waiters) {
      if (error === undefined) waiter.resolve();
      else waiter.reject(error);
    }
    waiters.clear();
  }

  /** Ends one handle; with the last one the publisher is told. Resolves when it knows, or could not be told. */
  #close(engine: ChannelSubscription, handle: Subscription): Promise<void> {
    const shared = this.#subscriptions.get(engine);
    shared?.handles.delete(handle);
    if (shared === undefined || shared.handles.size > 0) return Promise.resolve();
    this.#subscriptions.delete(engine);
    return new Promise((resolve) => {
      const farewells = this.#farewells.get(engine) ?? [];
      farewells.push(resolve);
      this.#farewells.set(engine, farewells);
      try {
        this.#node.core.channels.unsubscribe(engine);
        this.#node.touch();
      } catch {
        // The node was shut down: there is nobody left to tell.
        this.#farewells.delete(engine);
        resolve();
      }
    });
  }

  /** Ends everything, and tells the publishers without waiting for them; pending operations fail with the error. */
  shutdown(error: unknown): void {
    for (const [engine, shared] of this.#subscriptions) {
      this.#node.core.channels.unsubscribe(engine);
      this.#settle(shared, error);
      for (const handle of shared.handles) handle.end();
    }
    this.#subscriptions.clear();
    for (const farewells of this.#farewells.values()) for (const resolve of farewells) resolve();
    this.#farewells.clear();
    for (const resolve of this.#questions.values()) resolve(undefined);
    this.#questions.clear();
    this.#node.touch();
  }
}
