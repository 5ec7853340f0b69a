import { decodeReflex, encodeReflex, type SocketAddress, Subprotocol } from "@netmesh/wire";
import { fromBlock, toBlock } from "./socket-block.ts";
import type { Timers } from "./timers.ts";
import { TraversalError } from "./traversal-error.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** A question without an answer is asked again after so long: datagrams get lost. */
const ASK_AGAIN_MS = 1_000;
/** Answers to one peer in a second. */
const ANSWERS_PER_SECOND = 10;
const REQUEST = encodeReflex({ type: "request" });

interface Asker {
  resolve(address: SocketAddress): void;
  reject(error: TraversalError): void;
}

interface Waiter {
  readonly generation: number;
  readonly deadline: unknown;
  repetition: unknown;
  /** Who has asked by {@link ReflexProber.probe}. */
  readonly asker: Asker | undefined;
  /** Who takes any answer that comes: {@link ReflexProber.learn}. */
  readonly learners: Asker[];
}

/** Asks peers under which address they see this node, and tells them where they are seen (traversal §6). */
export class ReflexProber {
  /** Answers that nobody waits for, and messages that are none. */
  ignored = 0;
  readonly #host: TraversalHost;
  readonly #timers: Timers;
  readonly #timeoutMs: number;
  /** By peer; callers of this node bound them. */
  readonly #waiters = new Map<bigint, Waiter>();
  /** Answers in the present second, by peer; forgotten with the second. */
  readonly #answers = new Map<bigint, number>();
  #secondMs = 0;
  #generation = 0;

  constructor(host: TraversalHost, timers: Timers, timeoutMs: number) {
    this.#host = host;
    this.#timers = timers;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Asks a peer. Rejects with `peer-not-reachable` at once, `transport`, and `reflex-timeout`: also when a later probe of the same
   * peer takes its place.
   */
  probe(peer: bigint): Promise<SocketAddress> {
    if (this.#host.peer(peer) === undefined) {
      return Promise.reject(new TraversalError("peer-not-reachable", "there is no session with the peer"));
    }
    return new Promise((resolve, reject) => this.#ask(peer, { resolve, reject }));
  }

  /** The same for this node's own purposes: no other probe ends it, nor does it end one. It takes the answer that another one gets. */
  learn(peer: bigint): Promise<SocketAddress> {
    if (this.#host.peer(peer) === undefined) {
      return Promise.reject(new TraversalError("peer-not-reachable", "there is no session with the peer"));
    }
    return new Promise((resolve, reject) => {
      const learner = { resolve, reject };
      const running = this.#waiters.get(peer);
      if (running === undefined) this.#ask(peer, undefined, [learner]);
      else running.learners.push(learner);
    });
  }

  /** Takes a message of a peer. */
  receive(from: bigint, bytes: Uint8Array): void {
    const message = decodeReflex(bytes);
    if (message === undefined) this.ignored++;
    else if (message.type === "request") this.#answer(from);
    else {
      const waiter = this.#waiters.get(from);
      if (waiter === undefined) {
        this.ignored++;
        return;
      }
      this.#forget(from, waiter);
      const address = fromBlock(message.address);
      for (const asker of askersOf(waiter)) asker.resolve(address);
    }
  }

  /** Rejects what waits. */
  close(): void {
    for (const peer of [...this.#waiters.keys()]) this.#fail(peer, undefined, "transport");
  }

  /** Asks in place of a probe that is under way, whose learners wait on. */
  #ask(peer: bigint, asker: Asker | undefined, learners: Asker[] = []): void {
    const displaced = this.#waiters.get(peer);
    if (displaced !== undefined) {
      learners.push(...displaced.learners.splice(0));
      this.#fail(peer, undefined, "reflex-timeout");
    }
    const generation = ++this.#generation;
    const deadline = this.#timers.after(this.#timeoutMs, () =>
      this.#fail(peer, generation, "reflex-timeout"),
    );
    this.#waiters.set(peer, { generation, deadline, repetition: undefined, asker, learners });
    if (this.#host.send(peer, Subprotocol.REFLEX, REQUEST)) this.#askAgain(peer, generation);
    else this.#fail(peer, generation, "transport");
  }

  #askAgain(peer: bigint, generation: number): void {
    const waiter = this.#waiters.get(peer);
    if (waiter?.generation !== generation) return;
    waiter.repetition = this.#timers.after(ASK_AGAIN_MS, () => {
      this.#host.send(peer, Subprotocol.REFLEX, REQUEST);
      this.#askAgain(peer, generation);
    });
  }

  #forget(peer: bigint, { deadline, repetition }: Waiter): void {
    this.#waiters.delete(peer);
    this.#timers.cancel(deadline);
    this.#timers.cancel(repetition);
  }

  /** A peer behind a relay learns nothing: where the relay is, it knows. */
  #answer(to: bigint): void {
    const peer = this.#host.peer(to);
    const address = peer?.isDirect === true ? toBlock(peer.address) : undefined;
    if (address === undefined || !this.#mayAnswer(to)) {
      this.ignored++;
      return;
    }
    this.#host.send(to, Subprotocol.REFLEX, encodeReflex({ type: "response", address }));
  }

  #mayAnswer(peer: bigint): boolean {
    const nowMs = this.#timers.now();
    if (nowMs - this.#secondMs >= 1_000) {
      this.#secondMs = nowMs;
      this.#answers.clear();
    }
    const count = (this.#answers.get(peer) ?? 0) + 1;
    this.#answers.set(peer, count);
    return count <= ANSWERS_PER_SECOND;
  }

  #fail(peer: bigint, generation: number | undefined, kind: "reflex-timeout" | "transport"): void {
    const waiter = this.#waiters.get(peer);
    if (waiter === undefined || (generation !== undefined && waiter.generation !== generation)) return;
    this.#forget(peer, waiter);
    const error = new TraversalError(kind, kind === "transport" ? "the probe could not be sent" : "");
    for (const asker of askersOf(waiter)) asker.reject(error);
  }
}

function askersOf({ asker, learners }: Waiter): readonly Asker[] {
  return asker === undefined ? learners : [asker, ...learners];
}
