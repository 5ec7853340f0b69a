import {
  handshakePrologue,
  NOISE_OVERHEAD,
  NoiseInitiator,
  NoiseResponder,
  type NoiseResult,
} from "@netmesh/crypto";
import {
  decodeHandshakePayload,
  encodeHandshakePayload,
  HEADER_SIZE,
  low32,
  type RoutingHeader,
  type SocketAddress,
} from "@netmesh/wire";
import type { CoreConfig } from "../core/config.ts";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import type { Peer } from "../session/peer.ts";
import type { SessionRegistry } from "../session/session-registry.ts";
import { HandshakeAdmission } from "./admission.ts";
import { type AnsweredHandshake, AnsweredHandshakes } from "./answered.ts";
import { handshakeDatagram } from "./handshake-datagram.ts";
import type { HandshakeClass, WaitingHandshake } from "./handshake-queue.ts";
import { type HandshakeMode, Initiation } from "./initiation.ts";
import { agreedFeatures, isInsecure, sessionKeys } from "./security.ts";

/** Pause before the second try; grows by as much each time (spec/crypto.md §4). */
const RETRY_PAUSE_MS = 100;
/** Direct handshakes that may be waited for at once; each is tried on every message. */
const MAX_EXPECTED = 64;
/** Waiting messages that are worked on before data has its turn again; up to three public-key operations each. */
const MESSAGES_PER_TURN = 2;

/** Both roles of the handshake, direct and routed (spec/crypto.md §4). */
export class Handshaker {
  readonly #state: CoreState;
  readonly #sessions: SessionRegistry;
  readonly #admission: HandshakeAdmission;
  readonly #answered: AnsweredHandshakes;
  /** Routed handshakes of this node, by the routing id of the peer. */
  readonly #routed = new Map<number, Initiation>();
  /** Direct handshakes of this node, by the address of the peer. */
  readonly #direct = new Map<string, Initiation>();
  /** Nodes whose direct handshake is awaited. */
  readonly #expected: bigint[] = [];
  /** Whether routed handshakes of unknown nodes are answered. */
  answers = false;
  #nextAttempt = 1;
  #isClosed = false;

  constructor(state: CoreState, sessions: SessionRegistry) {
    this.#state = state;
    this.#sessions = sessions;
    this.#admission = new HandshakeAdmission(state);
    this.#answered = new AnsweredHandshakes(state.hashSeed);
  }

  /** Begins a handshake and returns its number, which `connected` or `connect-failed` will carry. */
  initiate(nodeId: bigint, publicKey: Uint8Array, via: SocketAddress, mode: HandshakeMode): number {
    if (publicKey.length !== 32) throw new MeshError("invalid-argument", "a public key has 32 bytes", 32);
    if (nodeId === this.#state.config.nodeId) {
      throw new MeshError("invalid-argument", "a node cannot connect to itself");
    }
    if (!this.#sessions.hasRoomFor(nodeId)) {
      const { maxPeers } = this.#state.config;
      throw new MeshError("too-many-peers", `there are ${maxPeers} peers already`, maxPeers);
    }
    const busy = mode === "direct" ? this.#direct.has(via.key) : this.#routed.has(low32(nodeId));
    if (busy) throw new MeshError("handshake-in-flight", "a handshake with this peer is in flight already");
    const attempt = this.#nextAttempt++;
    const initiation = new Initiation({ attempt, nodeId, publicKey, via, mode }, (due) =>
      this.#onDeadline(due),
    );
    if (mode === "direct") this.#direct.set(via.key, initiation);
    else this.#routed.set(low32(nodeId), initiation);
    this.#begin(initiation);
    return attempt;
  }

  /** Gives a handshake up without an event; harmless when it is over. */
  abandon(attempt: number): void {
    for (const map of [this.#routed, this.#direct]) {
      for (const initiation of map.values()) {
        if (initiation.attempt === attempt) this.#finish(initiation);
      }
    }
  }

  /** Waits for a direct handshake of that node. Throws `config` when 64 are awaited already. */
  expect(nodeId: bigint): void {
    if (this.#expected.includes(nodeId)) return;
    if (this.#expected.length >= MAX_EXPECTED) {
      throw new MeshError("config", `at most ${MAX_EXPECTED} handshakes can be awaited`, MAX_EXPECTED);
    }
    this.#expected.push(nodeId);
  }

  /** No longer waits for that node; whether it did. */
  unexpect(nodeId: bigint): boolean {
    const index = this.#expected.indexOf(nodeId);
    if (index < 0) return false;
    this.#expected.splice(index, 1);
    return true;
  }

  /** Ends everything that is under way with that error. */
  close(error: MeshError): void {
    for (const initiation of [...this.#routed.values(), ...this.#direct.values()])
      this.#fail(initiation, error);
    this.#expected.length = 0;
    this.#admission.close();
    this.#isClosed = true;
  }

  #begin(initiation: Initiation): void {
    const { config, nowMs } = this.#state;
    initiation.tries++;
    initiation.cookies = 0;
    initiation.untilMs = nowMs + config.handshakeTimeoutMs;
    this.#writeMessage1(initiation);
  }

  /** A message 1 with an ephemeral of its own, which takes the place of an earlier one. */
  #writeMessage1(initiation: Initiation): void {
    const { config } = this.#state;
    const { nodeId, publicKey, mode } = initiation;
    initiation.forget();
    const noise = new NoiseInitiator({
      psk: config.psk,
      responderPublicKey: publicKey,
      prologue: handshakePrologue(config.nodeId, nodeId),
      random: config.random,
    });
    initiation.sends = 0;
    let message: Uint8Array;
    try {
      message = noise.writeMessage1(ownPayload(config));
    } catch {
      // A public key of small order: no try can ever succeed.
      noise.destroy();
      this.#fail(initiation, new MeshError("handshake-failed", "the peer's public key is not usable"));
      return;
    }
    initiation.noise = noise;
    const route = mode === "routed" ? { from: config.nodeId, to: nodeId } : undefined;
    const datagram = handshakeDatagram(message, route);
    initiation.datagram = datagram;
    initiation.stamp = this.#admission.stampMessage1(datagram, headerOffset(datagram, message), initiation);
    this.#sendMessage1(initiation);
  }

  #sendMessage1(initiation: Initiation): void {
    const { nowMs, alarms } = this.#state;
    if (initiation.sends++ === 0) initiation.firstSentAtMs = nowMs;
    initiation.sentAtMs = nowMs;
    this.#state.transmit(initiation.datagram as Uint8Array, initiation.via);
    alarms.schedule(initiation, Math.min(initiation.untilMs, initiation.repeatAtMs));
  }

  #onDeadline(initiation: Initiation): void {
    const { nowMs, alarms } = this.#state;
    if (nowMs < initiation.untilMs) {
      if (initiation.isChallenged) this.#writeMessage1(initiation);
      else if (nowMs >= initiation.repeatAtMs) this.#sendMessage1(initiation);
      else alarms.schedule(initiation, Math.min(initiation.untilMs, initiation.repeatAtMs));
      return;
    }
    if (initiation.noise === undefined) {
      this.#begin(initiation);
      return;
    }
    this.#tryAgain(initiation);
  }

  /** Ends the running try; the next one follows after a pause, unless it was the last. */
  #tryAgain(initiation: Initiation): void {
    const { nowMs, config, alarms } = this.#state;
    initiation.forget();
    if (initiation.tries >= config.handshakeAttempts) {
      this.#fail(initiation, new MeshError("handshake-timeout", "the peer did not answer the handshake"));
      return;
    }
    initiation.untilMs = nowMs + RETRY_PAUSE_MS * initiation.tries;
    alarms.schedule(initiation, initiation.untilMs);
  }

  #fail(initiation: Initiation, error: MeshError): void {
    this.#finish(initiation);
    this.#state.emit({ type: "connect-failed", attempt: initiation.attempt, error });
  }

  #finish(initiation: Initiation): void {
    initiation.forget();
    this.#state.alarms.remove(initiation);
    const key = low32(initiation.nodeId);
    if (this.#routed.get(key) === initiation) this.#routed.delete(key);
    if (this.#direct.get(initiation.via.key) === initiation) this.#direct.delete(initiation.via.key);
  }

  /**
   * Takes the handshake packet from `offset` to the end of `bytes`. Nothing that costs public-key operations happens
   * here: see {@link work}.
   */
  receive(bytes: Uint8Array, offset: number, from: SocketAddress, routing: RoutingHeader | undefined): void {
    const { counters, nowMs } = this.#state;
    const message = offset + HEADER_SIZE;
    const isRouted = routing !== undefined;
    const sourceId = isRouted ? routing.sourceId : 0;
    const pending = isRouted ? this.#routedTo(sourceId) : this.#directTo(from);
    if (bytes.length === message) {
      this.#admission.onCookieReply(bytes, offset, isRouted, pending);
      return;
    }
    if (bytes.length - message < NOISE_OVERHEAD) {
      counters.handshakeBad++;
      return;
    }
    const answered = this.#answered.lookup(bytes, message, nowMs);
    if (answered !== undefined) this.#repeat(answered);
    else if (pending === undefined && !(isRouted ? this.answers : this.#expected.length > 0)) {
      counters.handshakeUnsolicited++;
    } else {
      const hopCount = isRouted ? routing.hopCount : 0;
      this.#admission.admit(bytes, offset, isRouted, sourceId, hopCount, from, pending);
    }
  }

  /** Whether no message waits to be worked on. */
  get isIdle(): boolean {
    return this.#admission.isIdle;
  }

  /** Works on the next few waiting messages; false when there are none. */
  work(): boolean {
    for (let i = 0; i < MESSAGES_PER_TURN; i++) {
      const kind = this.#admission.next;
      const waiting = kind?.first;
      if (kind === undefined || waiting === undefined) return i > 0;
      const isDone = waiting.isRouted ? this.#onRouted(waiting, kind) : this.#onDirect(waiting, kind);
      if (isDone) kind.shift();
    }
    return true;
  }

  /** One try of a direct message, with this node's own attempt or one awaited node; whether it was the last. */
  #onDirect(waiting: WaitingHandshake, kind: HandshakeClass): boolean {
    const { counters, nowMs, config } = this.#state;
    const { message, from, stamp } = waiting;
    const path = { address: from, routed: false };
    if (waiting.tries === 0) {
      const pending = this.#directTo(from);
      if (pending !== undefined && this.#tryMessage2(pending, message, path)) return true;
      if (this.#wasAnswered(message)) return true;
    } else if (!kind.budget.admit(from, 0, nowMs)) {
      // Each try costs as much as another message.
      counters[kind.pacedCounter]++;
      return true;
    }
    const nodeId = this.#expected[waiting.tries++];
    const responder = nodeId === undefined ? undefined : this.#readMessage1(message, nodeId);
    if (nodeId === undefined || responder === undefined) {
      if (waiting.tries < this.#expected.length) return false;
      kind.budget.countForged();
      counters.handshakeBad++;
      return true;
    }
    const features = agreedFeatures(decodeHandshakePayload(responder.payload).features, config.features);
    if (isInsecure(features, config)) {
      responder.noise.destroy();
      counters.handshakeInsecure++;
      return true;
    }
    // Not yet: somebody may have repeated a recorded message, whose keys only its author can use.
    const confirmed = (peer: Peer) => {
      if (this.unexpect(nodeId)) this.#state.emit({ type: "accepted", peer });
    };
    this.#answer(responder.noise, nodeId, features, path, undefined, stamp, confirmed);
    return true;
  }

  /** A routed message; always done with it. */
  #onRouted({ message, from, sourceId, hopCount, stamp }: WaitingHandshake, kind: HandshakeClass): true {
    const { counters, config } = this.#state;
    const path = { address: from, routed: hopCount > 0 };
    const pending = this.#routedTo(sourceId);
    // Not necessarily message 2: the peer may have begun a handshake of its own at the same time (W5).
    if (pending !== undefined && this.#tryMessage2(pending, message, path)) return true;
    if (this.#wasAnswered(message)) return true;
    if (!this.answers) {
      counters.handshakeUnsolicited++;
      return true;
    }
    const responder = this.#readMessage1(message, BigInt(sourceId));
    if (responder === undefined) {
      kind.budget.countForged();
      counters.handshakeBad++;
      return true;
    }
    const { nodeId, features: announced } = decodeHandshakePayload(responder.payload);
    if (nodeId === undefined || low32(nodeId) !== sourceId || nodeId === config.nodeId) {
      responder.noise.destroy();
      counters.handshakeIdMismatch++;
      return true;
    }
    const features = agreedFeatures(announced, config.features);
    if (isInsecure(features, config)) {
      responder.noise.destroy();
      counters.handshakeInsecure++;
      return true;
    }
    // Crossing handshakes: the one of the lower node id goes through. The peer goes on asking until it has heard so.
    const isCrossing =
      config.nodeId < nodeId && (pending?.nodeId === nodeId || this.#sessions.greetAgain(nodeId));
    if (isCrossing) {
      responder.noise.destroy();
      counters.handshakeCrossed++;
      return true;
    }
    if (!this.#state.peers.hasId(nodeId) && !this.#isWelcome(nodeId, from)) {
      responder.noise.destroy();
      counters.handshakeRefused++;
      return true;
    }
    const route = { from: config.nodeId, to: nodeId };
    // An own attempt goes on until then: the message may be a recording, whose keys nobody has.
    const confirmed = (peer: Peer) => {
      const own = this.#routedTo(sourceId);
      if (own?.nodeId !== nodeId) return;
      this.#finish(own);
      this.#state.emit({ type: "connected", attempt: own.attempt, peer });
    };
    this.#answer(responder.noise, nodeId, features, path, route, stamp, confirmed);
    return true;
  }

  #routedTo(sourceId: number): Initiation | undefined {
    return this.#routed.size === 0 ? undefined : this.#routed.get(sourceId);
  }

  #directTo(address: SocketAddress): Initiation | undefined {
    return this.#direct.size === 0 ? undefined : this.#direct.get(address.key);
  }

  /** Asks the application; one that throws, or closes the node meanwhile, has not said yes. */
  #isWelcome(nodeId: bigint, from: SocketAddress): boolean {
    try {
      return this.#state.config.acceptPeers(nodeId, from) && !this.#isClosed;
    } catch {
      return false;
    }
  }

  /** Deals with a message that was answered while it waited, because it came twice; true when it was. */
  #wasAnswered(message: Uint8Array): boolean {
    const answered = this.#answered.lookup(message, 0, this.#state.nowMs);
    if (answered === undefined) return false;
    this.#repeat(answered);
    return true;
  }

  /** Deals with a first message that was answered before. */
  #repeat(answered: AnsweredHandshake): void {
    const { counters, nowMs } = this.#state;
    const repetition = this.#answered.repeat(answered, nowMs);
    if (repetition === "too soon") counters.handshakeRepeatLimited++;
    else counters.handshakeReplay++;
    if (repetition === "answer again") this.#state.transmit(answered.reply, answered.to);
  }

  #tryMessage2(
    pending: Initiation,
    message: Uint8Array,
    path: { readonly address: SocketAddress; readonly routed: boolean },
  ): boolean {
    const { noise } = pending;
    if (noise === undefined) return false;
    let result: NoiseResult;
    try {
      result = noise.readMessage2(message);
    } catch {
      return false;
    }
    const { nowMs, counters, config } = this.#state;
    if (!this.#sessions.hasRoomFor(pending.nodeId)) {
      const { maxPeers } = config;
      counters.handshakeRefused++;
      this.#fail(pending, new MeshError("too-many-peers", `there are ${maxPeers} peers already`, maxPeers));
      return true;
    }
    const features = agreedFeatures(decodeHandshakePayload(result.payload).features, config.features);
    // Message 2 is authenticated: its author holds the peer's key, and trying again would change nothing.
    if (isInsecure(features, config)) {
      counters.handshakeInsecure++;
      this.#fail(pending, new MeshError("insecure-peer", "the peer offers no forward-secret session"));
      return true;
    }
    const keys = sessionKeys(result, features, "initiator");
    if (!this.#sessions.admitsId(keys.sessionId)) {
      keys.destroy();
      counters.handshakeSessionId++;
      this.#tryAgain(pending);
      return true;
    }
    const peer = this.#sessions.installInitiated({
      nodeId: pending.nodeId,
      keys,
      role: "initiator",
      features,
      path,
      publicKey: pending.publicKey,
      // After a repetition nobody knows which message was answered; too long does no harm.
      roundTripMs: nowMs - pending.firstSentAtMs,
    });
    counters.handshakesCompleted++;
    this.#finish(pending);
    this.#state.emit({ type: "connected", attempt: pending.attempt, peer });
    return true;
  }

  #readMessage1(
    message: Uint8Array,
    initiatorId: bigint,
  ): { readonly noise: NoiseResponder; readonly payload: Uint8Array } | undefined {
    const { config } = this.#state;
    const noise = new NoiseResponder({
      psk: config.psk,
      staticKeyPair: config.staticKeyPair,
      prologue: handshakePrologue(initiatorId, config.nodeId),
      random: config.random,
    });
    try {
      return { noise, payload: noise.readMessage1(message) };
    } catch {
      noise.destroy();
      return undefined;
    }
  }

  #answer(
    noise: NoiseResponder,
    nodeId: bigint,
    features: number,
    path: { readonly address: SocketAddress; readonly routed: boolean },
    route: { readonly from: bigint; readonly to: bigint } | undefined,
    stamp: Uint8Array | undefined,
    onConfirmed: (peer: Peer) => void,
  ): void {
    const { counters, nowMs, config } = this.#state;
    if (!this.#sessions.hasRoomFor(nodeId)) {
      noise.destroy();
      counters.handshakeRefused++;
      return;
    }
    const ephemeral = noise.initiatorEphemeral;
    const message2 = noise.writeMessage2(ownPayload(config));
    const reply = handshakeDatagram(message2, route);
    if (stamp !== undefined) {
      const to = route === undefined ? 0 : low32(nodeId);
      this.#admission.stampMessage2(reply, headerOffset(reply, message2), route !== undefined, to, stamp);
    }
    const keys = sessionKeys(noise.result, features, "responder");
    noise.destroy();
    // Nothing is answered: the repeated message gets another key of ours, and so another session id.
    if (!this.#sessions.admitsId(keys.sessionId)) {
      keys.destroy();
      counters.handshakeSessionId++;
      return;
    }
    this.#answered.remember(ephemeral, reply, path.address, nowMs);
    this.#sessions.installAnswered({ nodeId, keys, role: "responder", features, path, onConfirmed });
    counters.handshakesCompleted++;
    this.#state.transmit(reply, path.address);
  }
}

/** Payload of both messages of this node; as short as the reference's when there is nothing to announce. */
function ownPayload({ nodeId, features }: CoreConfig): Uint8Array {
  return encodeHandshakePayload(features === 0 ? { nodeId } : { nodeId, features });
}

/** Where the packet header begins in a complete datagram with that Noise message. */
function headerOffset(datagram: Uint8Array, message: Uint8Array): number {
  return datagram.length - message.length - HEADER_SIZE;
}
