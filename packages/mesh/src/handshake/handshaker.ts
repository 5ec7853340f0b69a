import {
  handshakePrologue,
  NOISE_OVERHEAD,
  NoiseInitiator,
  NoiseResponder,
  type NoiseResult,
} from "@netmesh/crypto";
import { decodeHandshakePayload, encodeHandshakePayload, low32, type SocketAddress } from "@netmesh/wire";
import type { CoreConfig } from "../core/config.ts";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import type { Peer } from "../session/peer.ts";
import type { SessionRegistry } from "../session/session-registry.ts";
import { AnsweredHandshakes } from "./answered.ts";
import { handshakeDatagram } from "./handshake-datagram.ts";
import { type HandshakeMode, Initiation } from "./initiation.ts";
import { HandshakePacer } from "./pacer.ts";
import { agreedFeatures, isInsecure, sessionKeys } from "./security.ts";

/** Length of the ephemeral key that opens message 1. */
const EPHEMERAL_BYTES = 32;
/** Pause before the second try; grows by as much each time (spec/crypto.md §4). */
const RETRY_PAUSE_MS = 100;
/** Direct handshakes that may be waited for at once; each is tried on every message. */
const MAX_EXPECTED = 64;

/** Both roles of the handshake, direct and routed (spec/crypto.md §4). */
export class Handshaker {
  readonly #state: CoreState;
  readonly #sessions: SessionRegistry;
  readonly #pacer: HandshakePacer;
  readonly #answered = new AnsweredHandshakes();
  /** Routed handshakes of this node, by the routing id of the peer. */
  readonly #routed = new Map<number, Initiation>();
  /** Direct handshakes of this node, by the address of the peer. */
  readonly #direct = new Map<string, Initiation>();
  /** Nodes whose direct handshake is awaited. */
  readonly #expected = new Set<bigint>();
  /** Whether routed handshakes of unknown nodes are answered. */
  answers = false;
  #nextAttempt = 1;

  constructor(state: CoreState, sessions: SessionRegistry) {
    this.#state = state;
    this.#sessions = sessions;
    const { perSource, total } = state.config.handshakesPerSecond;
    this.#pacer = new HandshakePacer(perSource, total);
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
    if (this.#expected.size >= MAX_EXPECTED) {
      throw new MeshError("config", `at most ${MAX_EXPECTED} handshakes can be awaited`, MAX_EXPECTED);
    }
    this.#expected.add(nodeId);
  }

  /** No longer waits for that node. */
  unexpect(nodeId: bigint): void {
    this.#expected.delete(nodeId);
  }

  /** Ends everything that is under way with that error. */
  close(error: MeshError): void {
    for (const initiation of [...this.#routed.values(), ...this.#direct.values()])
      this.#fail(initiation, error);
    this.#expected.clear();
  }

  #begin(initiation: Initiation): void {
    const { config, nowMs } = this.#state;
    const { nodeId, publicKey, mode } = initiation;
    const noise = new NoiseInitiator({
      psk: config.psk,
      responderPublicKey: publicKey,
      prologue: handshakePrologue(config.nodeId, nodeId),
      random: config.random,
    });
    initiation.tries++;
    initiation.sends = 0;
    initiation.untilMs = nowMs + config.handshakeTimeoutMs;
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
    initiation.datagram = handshakeDatagram(message, route);
    this.#sendMessage1(initiation);
  }

  #sendMessage1(initiation: Initiation): void {
    const { nowMs, alarms } = this.#state;
    if (initiation.sends++ === 0) initiation.firstSentAtMs = nowMs;
    initiation.sentAtMs = nowMs;
    this.#transmit(initiation.datagram as Uint8Array, initiation.via);
    alarms.schedule(initiation, Math.min(initiation.untilMs, initiation.repeatAtMs));
  }

  #transmit(datagram: Uint8Array, to: SocketAddress): void {
    if (this.#state.blocked.has(to.key)) this.#state.counters.blockedDestination++;
    else this.#state.outbox.pushBorrowed(datagram, to);
  }

  #onDeadline(initiation: Initiation): void {
    const { nowMs, alarms } = this.#state;
    if (nowMs < initiation.untilMs) {
      if (nowMs >= initiation.repeatAtMs) this.#sendMessage1(initiation);
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

  /** Takes the Noise message of a bare handshake packet. */
  onDirect(message: Uint8Array, from: SocketAddress): void {
    const { counters, nowMs, config } = this.#state;
    const pending = this.#direct.get(from.key);
    if (pending === undefined && this.#expected.size === 0 && !this.#answers(message, nowMs)) {
      counters.handshakeUnsolicited++;
      return;
    }
    if (!this.#pacer.admit(from.key, nowMs)) {
      counters.handshakePaced++;
      return;
    }
    if (pending !== undefined && this.#tryMessage2(pending, message, { address: from, routed: false }))
      return;
    if (this.#repeat(message)) return;
    let tries = 0;
    for (const nodeId of this.#expected) {
      // Each try costs as much as another message.
      if (tries++ > 0 && !this.#pacer.admit(from.key, nowMs)) {
        counters.handshakePaced++;
        return;
      }
      const responder = this.#readMessage1(message, nodeId);
      if (responder === undefined) continue;
      const features = agreedFeatures(decodeHandshakePayload(responder.payload).features, config.features);
      if (isInsecure(features, config)) {
        responder.noise.destroy();
        counters.handshakeInsecure++;
        return;
      }
      // Not yet: somebody may have repeated a recorded message, whose keys only its author can use.
      const confirmed = (peer: Peer) => {
        if (this.#expected.delete(nodeId)) this.#state.emit({ type: "accepted", peer });
      };
      this.#answer(responder.noise, nodeId, features, { address: from, routed: false }, undefined, confirmed);
      return;
    }
    counters.handshakeBad++;
  }

  /** Takes the Noise message of a routed handshake packet addressed to this node. */
  onRouted(message: Uint8Array, sourceId: number, hopCount: number, from: SocketAddress): void {
    const { counters, nowMs, config } = this.#state;
    if (!this.#pacer.admit(from.key, nowMs)) {
      counters.handshakePaced++;
      return;
    }
    const path = { address: from, routed: hopCount > 0 };
    const pending = this.#routed.get(sourceId);
    // Not necessarily message 2: the peer may have begun a handshake of its own at the same time (W5).
    if (pending !== undefined && this.#tryMessage2(pending, message, path)) return;
    if (this.#repeat(message)) return;
    if (!this.answers) {
      counters.handshakeUnsolicited++;
      return;
    }
    const responder = this.#readMessage1(message, BigInt(sourceId));
    if (responder === undefined) {
      counters.handshakeBad++;
      return;
    }
    const { nodeId, features: announced } = decodeHandshakePayload(responder.payload);
    if (nodeId === undefined || low32(nodeId) !== sourceId || nodeId === config.nodeId) {
      responder.noise.destroy();
      counters.handshakeIdMismatch++;
      return;
    }
    const features = agreedFeatures(announced, config.features);
    if (isInsecure(features, config)) {
      responder.noise.destroy();
      counters.handshakeInsecure++;
      return;
    }
    // Crossing handshakes: the one of the lower node id goes through.
    if (pending?.nodeId === nodeId && pending.noise !== undefined && config.nodeId < nodeId) {
      responder.noise.destroy();
      counters.handshakeCrossed++;
      return;
    }
    if (!this.#state.peers.hasId(nodeId) && !this.#isWelcome(nodeId, from)) {
      responder.noise.destroy();
      counters.handshakeRefused++;
      return;
    }
    const route = { from: config.nodeId, to: nodeId };
    const peer = this.#answer(responder.noise, nodeId, features, path, route);
    if (peer === undefined || pending?.nodeId !== nodeId) return;
    this.#finish(pending);
    this.#state.emit({ type: "connected", attempt: pending.attempt, peer });
  }

  /** Asks the application; one that throws has not said yes. */
  #isWelcome(nodeId: bigint, from: SocketAddress): boolean {
    try {
      return this.#state.config.acceptPeers(nodeId, from);
    } catch {
      return false;
    }
  }

  #answers(message: Uint8Array, nowMs: number): boolean {
    return (
      message.length >= NOISE_OVERHEAD &&
      this.#answered.lookup(message.subarray(0, EPHEMERAL_BYTES), nowMs) !== undefined
    );
  }

  /** Deals with a first message that was answered before; true when it was one. */
  #repeat(message: Uint8Array): boolean {
    if (message.length < NOISE_OVERHEAD) return false;
    const known = this.#answered.lookup(message.subarray(0, EPHEMERAL_BYTES), this.#state.nowMs);
    if (known === undefined) return false;
    this.#state.counters.handshakeReplay++;
    if (known !== "replay") this.#transmit(known.reply, known.to);
    return true;
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
    if (message.length < NOISE_OVERHEAD) return undefined;
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
    onConfirmed?: (peer: Peer) => void,
  ): Peer | undefined {
    const { counters, nowMs, config } = this.#state;
    if (!this.#sessions.hasRoomFor(nodeId)) {
      noise.destroy();
      counters.handshakeRefused++;
      return undefined;
    }
    const ephemeral = noise.initiatorEphemeral;
    const message2 = noise.writeMessage2(ownPayload(config));
    const reply = handshakeDatagram(message2, route);
    const keys = sessionKeys(noise.result, features, "responder");
    noise.destroy();
    // Nothing is answered: the repeated message gets another key of ours, and so another session id.
    if (!this.#sessions.admitsId(keys.sessionId)) {
      keys.destroy();
      counters.handshakeSessionId++;
      return undefined;
    }
    this.#answered.remember(ephemeral, reply, path.address, nowMs);
    const peer = this.#sessions.installAnswered({
      nodeId,
      keys,
      role: "responder",
      features,
      path,
      ...(onConfirmed === undefined ? {} : { onConfirmed }),
    });
    counters.handshakesCompleted++;
    this.#transmit(reply, path.address);
    return peer;
  }
}

/** Payload of both messages of this node; as short as the reference's when there is nothing to announce. */
function ownPayload({ nodeId, features }: CoreConfig): Uint8Array {
  return encodeHandshakePayload(features === 0 ? { nodeId } : { nodeId, features });
}
