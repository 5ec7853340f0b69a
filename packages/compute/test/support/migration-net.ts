import { StaticKeyPair } from "@netmesh/crypto";
import {
  type ByteStream,
  DaemonRuntime,
  decodeMigrationMessage,
  type MigrationEvent,
  type MigrationMessage,
  Migrator,
  type MigratorOptions,
  type PeerMessageHandler,
  type PeerNetwork,
  type RuntimeParts,
} from "../../src/index.ts";
import { CounterDaemon, EchoDaemon } from "./daemons.ts";
import { settle, VirtualTime } from "./virtual-time.ts";

/** A message under way. */
export interface Datagram {
  readonly from: bigint;
  readonly to: bigint;
  readonly bytes: Uint8Array;
  readonly type: string;
}

/** What becomes of a message: how many times it arrives, 1 by default, and whether after those behind it. */
export type Fault = (datagram: Datagram) => { copies?: number; isLate?: boolean } | undefined;

/** One node of a test network. */
export interface TestNode {
  readonly id: bigint;
  readonly runtime: DaemonRuntime;
  readonly migrator: Migrator;
  readonly events: MigrationEvent[];
}

export interface NodeOptions extends MigratorOptions {
  /** Whether it speaks the netmesh form. */
  readonly isNetmesh?: boolean;
  /** Whether it is started; true by default. */
  readonly isStarted?: boolean;
}

/** An end of a stream in memory. */
export interface TestStream extends ByteStream {
  /** Whether what it writes is over, and has been read. */
  readonly isOver: boolean;
}

/** Both ends of a stream in memory, whose writes wait while more than `window` bytes are unread. */
export function streamPair(window: number = 256 * 1024): [TestStream, TestStream] {
  const forth = pipe(window);
  const back = pipe(window);
  const end = (own: Pipe, other: Pipe): TestStream => ({
    get isOver() {
      return own.isOver();
    },
    readable: other.readable,
    write: own.write,
    close: own.close,
    abort: () => {
      own.abort();
      other.abort();
    },
  });
  return [end(forth, back), end(back, forth)];
}

interface Pipe {
  readonly readable: AsyncIterable<Uint8Array>;
  readonly write: (bytes: Uint8Array) => Promise<void>;
  readonly close: () => Promise<void>;
  readonly abort: () => void;
  readonly isOver: () => boolean;
}

function pipe(window: number): Pipe {
  const queue: Uint8Array[] = [];
  let size = 0;
  let state: "open" | "closed" | "aborted" = "open";
  let wakers: (() => void)[] = [];
  const wake = (): void => {
    const all = wakers;
    wakers = [];
    for (const one of all) one();
  };
  const changed = (): Promise<void> => new Promise((resolve) => wakers.push(resolve));
  return {
    readable: {
      async *[Symbol.asyncIterator]() {
        for (;;) {
          if (state === "aborted") throw new Error("the stream was aborted");
          const next = queue.shift();
          if (next !== undefined) {
            size -= next.length;
            wake();
            yield next;
          } else if (state === "closed") return;
          else await changed();
        }
      },
    },
    async write(bytes) {
      while (state === "open" && size > 0 && size + bytes.length > window) await changed();
      if (state !== "open") throw new Error("the stream is over");
      queue.push(bytes.slice());
      size += bytes.length;
      wake();
    },
    async close() {
      if (state === "open") state = "closed";
      wake();
    },
    abort() {
      state = "aborted";
      wake();
    },
    isOver: () => state === "aborted" || (state === "closed" && size === 0),
  };
}

/** Nodes in virtual time, with whatever happens to their messages. */
export class MigrationNet {
  readonly time: VirtualTime = new VirtualTime();
  readonly nodes: Map<bigint, TestNode> = new Map();
  readonly keys: Map<bigint, StaticKeyPair> = new Map();
  /** Types of the messages sent, as `from>to type`. */
  readonly log: string[] = [];
  readonly streams: TestStream[] = [];
  fault: Fault = () => undefined;
  /** Pairs `a>b` of which a does not know b's static key. */
  readonly unknownKeys: Set<string> = new Set();
  /** Nodes that nobody reaches. */
  readonly down: Set<bigint> = new Set();
  readonly #handlers: Map<bigint, PeerMessageHandler> = new Map();
  readonly #netmesh: Set<bigint> = new Set();
  #queue: Datagram[] = [];

  keyOf(id: bigint): StaticKeyPair {
    const known = this.keys.get(id) ?? StaticKeyPair.generate();
    this.keys.set(id, known);
    return known;
  }

  async node(id: bigint, options: NodeOptions = {}): Promise<TestNode> {
    const { isNetmesh = false, isStarted = true, ...own } = options;
    if (isNetmesh) this.#netmesh.add(id);
    const events: MigrationEvent[] = [];
    const network = this.#networkOf(id);
    let made: Migrator | undefined;
    const createHandler = (parts: RuntimeParts): Migrator => {
      made = new Migrator(parts, {
        staticKey: this.keyOf(id),
        onEvent: (event) => events.push(event),
        ...own,
      });
      return made;
    };
    const runtime = new DaemonRuntime({
      peers: { network, createHandler },
      time: this.time,
      ...(own.channels === undefined ? {} : { channels: own.channels }),
      explainAbsence: (originHash) => made?.explainAbsence(originHash),
    });
    runtime.registerFactory("counter", () => new CounterDaemon());
    runtime.registerFactory("echo", () => new EchoDaemon());
    if (isStarted) await runtime.start();
    const node = { id, runtime, migrator: made as Migrator, events };
    this.nodes.set(id, node);
    return node;
  }

  #networkOf(id: bigint): PeerNetwork {
    return {
      nodeId: id,
      setHandler: (handler) => {
        if (handler === undefined) this.#handlers.delete(id);
        else this.#handlers.set(id, handler);
      },
      send: (to, message) => {
        if (!this.nodes.has(to) || this.down.has(to)) return false;
        this.#post({ from: id, to, bytes: message.slice(), type: typeOf(message) });
        return true;
      },
      staticKeyOf: (node) => (this.unknownKeys.has(`${id}>${node}`) ? undefined : this.keyOf(node).publicKey),
      isNetmesh: (node) => this.#netmesh.has(id) && this.#netmesh.has(node),
      openStream: async (node) => {
        const handler = this.#handlers.get(node);
        if (handler?.acceptStream === undefined || this.down.has(node)) throw new Error("no session");
        const [near, far] = streamPair();
        this.streams.push(near, far);
        handler.acceptStream(far, id);
        return near;
      },
    };
  }

  /** Sends a message as a node would, or one that is nobody here. */
  inject(from: bigint, to: bigint, bytes: Uint8Array): void {
    this.#handlers.get(to)?.receive(bytes, from);
  }

  #post(datagram: Datagram): void {
    this.log.push(`${datagram.from}>${datagram.to} ${datagram.type}`);
    const { copies = 1, isLate = false } = this.fault(datagram) ?? {};
    for (let i = 0; i < copies; i++) {
      if (isLate) this.#queue.push(datagram);
      else this.#queue.splice(this.#firstLate(), 0, datagram);
    }
    this.#late += isLate ? copies : 0;
  }

  #late = 0;

  #firstLate(): number {
    return Math.max(0, this.#queue.length - this.#late);
  }

  /** Delivers what is under way, and lets promises settle, until nothing moves. */
  async flush(): Promise<void> {
    for (;;) {
      await settle();
      const datagram = this.#queue.shift();
      if (datagram === undefined) return;
      this.#late = Math.min(this.#late, this.#queue.length);
      if (!this.down.has(datagram.to))
        this.#handlers.get(datagram.to)?.receive(datagram.bytes, datagram.from);
    }
  }

  /** Lets time pass in steps, with everything that happens in it; stops once `isDone`. */
  async run(durationMs: number, isDone: () => boolean = () => false): Promise<void> {
    await this.flush();
    for (let passed = 0; passed < durationMs && !isDone(); passed += 50) {
      await this.time.advance(50);
      await this.flush();
    }
  }

  /** All that is under way on all nodes. */
  get pending(): number {
    let sum = 0;
    for (const { migrator } of this.nodes.values()) sum += migrator.pending;
    return sum;
  }
}

function typeOf(bytes: Uint8Array): string {
  const message: MigrationMessage | undefined = decodeMigrationMessage(bytes);
  return message?.type ?? `type-${bytes[0]}`;
}
