import { RoutingTable } from "@netmesh/routing";
import { high32, low32, readU32, type SocketAddress, U64Map } from "@netmesh/wire";
import { Neighbors } from "../control/neighbors.ts";
import { NextHops } from "../control/next-hops.ts";
import type { Peer } from "../session/peer.ts";
import type { Session } from "../session/session.ts";
import { MemoryPieces } from "../stream/memory-pieces.ts";
import type { Stream } from "../stream/stream.ts";
import type { CoreConfig } from "./config.ts";
import { Counters } from "./counters.ts";
import { DeadlineHeap, type Timed } from "./deadline-heap.ts";
import type { CoreEvent } from "./events.ts";
import { Outbox } from "./outbox.ts";

/** A timed thing that knows what to do when its time has come. */
export interface Alarm extends Timed {
  /** Called once `deadline` has passed; sets the next deadline itself. */
  ring(): void;
}

/** A stream with something to send, and its session. */
export interface ScheduledStream {
  readonly session: Session;
  readonly stream: Stream;
}

/** The state that the parts of a core share. */
export class CoreState {
  readonly config: CoreConfig;
  readonly counters: Counters = new Counters();
  readonly outbox: Outbox;
  /** Events that the shell has not seen yet. */
  readonly events: CoreEvent[] = [];
  /** Whatever has to be woken up. */
  readonly alarms: DeadlineHeap<Alarm> = new DeadlineHeap();
  /** By node id. */
  readonly peers: U64Map<Peer>;
  /** By session id, candidates included. */
  readonly sessions: U64Map<Session>;
  /** How many confirmed sessions go to an address; a source of packets to be relayed has to be here. */
  readonly addresses: Map<string, number> = new Map();
  /** Addresses that nothing is taken from or sent to. */
  readonly blocked: Set<string> = new Set();
  readonly routes: RoutingTable;
  /** Destinations whose routes the application has set; it bounds them. */
  readonly manualRoutes: Set<bigint> = new Set();
  /** Who else leads to a node. */
  readonly nextHops: NextHops;
  /** Peers that are reached without a relay. */
  readonly neighbors: Neighbors = new Neighbors();
  /** Streams with something to send, in turn. */
  readonly sendTurns: ScheduledStream[] = [];
  /** Bytes written to streams since the last flush. */
  writtenBytes = 0;
  /** Bytes that the application has taken since then. */
  consumedBytes = 0;
  /** Streams that owe a grant now. */
  readonly grantTurns: ScheduledStream[] = [];
  /** Memory for what streams have written and not been acknowledged. */
  readonly pieces: MemoryPieces = new MemoryPieces();
  /** Seeds the hash of ids that others choose. */
  readonly hashSeed: number;
  /** The time of the current input, in milliseconds. */
  nowMs: number;

  constructor(config: CoreConfig) {
    this.config = config;
    this.nowMs = config.clock.now();
    const seed = new Uint8Array(4);
    config.random.fill(seed);
    this.hashSeed = readU32(seed, 0);
    const { nodeId } = config;
    this.outbox = new Outbox(config.aead.memory, low32(nodeId), high32(nodeId), this.hashSeed);
    this.peers = new U64Map(this.hashSeed);
    this.sessions = new U64Map(this.hashSeed);
    this.nextHops = new NextHops(this.hashSeed);
    this.routes = new RoutingTable(config.nodeId, { hashSeed: this.hashSeed });
  }

  /** Moves the time of the current input on to the clock's. */
  tick(): void {
    const now = this.config.clock.now();
    if (now > this.nowMs) this.nowMs = now;
  }

  /** Sends bytes that nobody changes any more, unless the destination is blocked. */
  transmit(datagram: Uint8Array, to: SocketAddress): void {
    if (this.blocked.size > 0 && this.blocked.has(to.key)) this.counters.blockedDestination++;
    else if (!this.outbox.pushKept(datagram, to)) this.counters.outboxFull++;
  }

  /** Puts an event behind those that wait. */
  emit(event: CoreEvent): void {
    this.events.push(event);
  }
}
