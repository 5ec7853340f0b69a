import {
  defaultCurve,
  deriveRekeyedKeys,
  equalBytes,
  PacketCipher,
  type SessionKeys,
  type X25519KeyPair,
} from "@netmesh/crypto";
import { epochCounter, SealingKey } from "@netmesh/pool";
import { decodeRekey, encodeRekey, NETMESH_CONTROL, RekeyKind } from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";
import { OperationBudget } from "./operation-budget.ts";
import type { ReceiveEpoch } from "./receive-epochs.ts";
import type { RekeyState } from "./rekey-state.ts";

/** Key agreements and generated keys that all sessions together may cost a second. */
const OPERATIONS_PER_SECOND = 256;
/** Pause before a renewal that was put off for lack of budget is tried again. */
const BUDGET_PAUSE_MS = 1_000;
/** Epochs are counted by the high half of a packet's counter. */
const LAST_EPOCH = 0xffff_ffff;

/**
 * Renews the keys of forward-secret sessions (docs/protocol/forward-secrecy.md). The session's initiator proposes, the
 * responder accepts, or asks for a proposal. Whatever is lost is repeated; nothing is ever agreed on twice.
 */
export class Rekeyer {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #budget = new OperationBudget(OPERATIONS_PER_SECOND);

  constructor(state: CoreState, writer: PacketWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** To be called for every packet of a session with renewal that was authenticated and fresh; `bytes` is its length. */
  onOpened(session: Session, rekeying: RekeyState, epoch: ReceiveEpoch, bytes: number): void {
    const { rx } = session;
    if (epoch.number > rx.current.number) this.#onNextEpoch(session, rekeying, epoch);
    if (rekeying.countOpened(bytes)) this.#state.alarms.hasten(session, this.#state.nowMs);
  }

  /** The peer seals with the key of the next epoch, and with no older one any more. */
  #onNextEpoch(session: Session, rekeying: RekeyState, epoch: ReceiveEpoch): void {
    const { nowMs, alarms } = this.#state;
    alarms.hasten(session, session.rx.promote(epoch, nowMs));
    const { pendingKey } = rekeying;
    if (pendingKey === undefined) return;
    rekeying.pendingKey = undefined;
    this.#seal(session, rekeying, pendingKey);
  }

  /** Switches to the key of the next epoch for everything that this side sends, and shows it to the peer. */
  #seal(session: Session, rekeying: RekeyState, key: SealingKey): void {
    session.useKey(key);
    rekeying.begin(rekeying.epoch + 1, this.#state.nowMs);
    this.#state.counters.rekeys++;
    this.#state.alarms.hasten(session, rekeying.expiresAtMs);
    if (session.takesHeartbeats) this.#writer.sendHeartbeat(session);
  }

  /** Takes one control event of the peer. */
  onControl(session: Session, rekeying: RekeyState, event: Uint8Array): void {
    const { counters } = this.#state;
    const message = decodeRekey(event);
    if (message === undefined) {
      counters.controlMalformed++;
      return;
    }
    const { kind, epoch } = message;
    const isForInitiator = kind !== RekeyKind.PROPOSE;
    if (isForInitiator !== (session.role === "initiator")) counters.rekeyIgnored++;
    else if (kind === RekeyKind.PROPOSE) this.#onProposal(session, rekeying, epoch, message.publicKey);
    else if (kind === RekeyKind.ACCEPT) this.#onAcceptance(session, rekeying, epoch, message.publicKey);
    else this.#onRequest(session, rekeying, epoch);
  }

  #onProposal(session: Session, rekeying: RekeyState, epoch: number, publicKey: Uint8Array): void {
    const { counters } = this.#state;
    const { answered } = rekeying;
    if (answered?.epoch === epoch && equalBytes(answered.initiatorEphemeral, publicKey)) {
      // The acceptance was lost, or is still on its way.
      this.#writer.sendControl(session, NETMESH_CONTROL, [answered.message]);
      return;
    }
    if (epoch !== rekeying.epoch + 1 || rekeying.pendingKey !== undefined) {
      counters.rekeyIgnored++;
      return;
    }
    // Two renewals are never closer than that, so that no key has to go before its time.
    if (session.rx.hasPrevious || !this.#admit(rekeying)) {
      counters.rekeyPaced++;
      return;
    }
    const pair = defaultCurve.generateKeyPair(this.#state.config.random);
    const keys = this.#agree(session, rekeying, epoch, pair, publicKey);
    defaultCurve.forget(pair.privateKey);
    pair.privateKey.fill(0);
    if (keys === undefined) {
      counters.rekeyIgnored++;
      return;
    }
    rekeying.pendingKey = this.#install(session, rekeying, epoch, keys);
    const message = encodeRekey({ kind: RekeyKind.ACCEPT, epoch, publicKey: pair.publicKey });
    rekeying.answered = { epoch, initiatorEphemeral: publicKey, message };
    rekeying.settle();
    this.#writer.sendControl(session, NETMESH_CONTROL, [message]);
  }

  #onAcceptance(session: Session, rekeying: RekeyState, epoch: number, publicKey: Uint8Array): void {
    const { counters } = this.#state;
    const { unanswered, pair } = rekeying;
    // The peer has to have shown the keys of the epoch before.
    if (pair === undefined || unanswered?.epoch !== epoch || epoch !== session.rx.current.number + 1) {
      counters.rekeyIgnored++;
      return;
    }
    if (!this.#admit(rekeying)) {
      counters.rekeyPaced++;
      return;
    }
    const keys = this.#agree(session, rekeying, epoch, pair, publicKey);
    if (keys === undefined) {
      counters.rekeyIgnored++;
      return;
    }
    rekeying.settle();
    this.#seal(session, rekeying, this.#install(session, rekeying, epoch, keys));
  }

  #onRequest(session: Session, rekeying: RekeyState, epoch: number): void {
    const { counters, alarms, nowMs } = this.#state;
    if (epoch !== rekeying.epoch + 1) {
      counters.rekeyIgnored++;
      return;
    }
    if (rekeying.isDue) return;
    rekeying.isDue = true;
    alarms.hasten(session, nowMs);
  }

  /** Spends one key operation, unless session or node have none left for this second. */
  #admit(rekeying: RekeyState): boolean {
    const { nowMs } = this.#state;
    if (!rekeying.hasBudget(nowMs) || !this.#budget.has(nowMs)) return false;
    rekeying.spendBudget(nowMs);
    this.#budget.spend(nowMs);
    return true;
  }

  /** The keys of an epoch; undefined for a public key of small order, with which there is no secret. */
  #agree(
    session: Session,
    rekeying: RekeyState,
    epoch: number,
    pair: X25519KeyPair,
    publicKey: Uint8Array,
  ): SessionKeys | undefined {
    let sharedSecret: Uint8Array;
    try {
      sharedSecret = defaultCurve.sharedSecret(pair.privateKey, publicKey);
    } catch {
      return undefined;
    }
    const isInitiator = session.role === "initiator";
    const keys = deriveRekeyedKeys(
      {
        sessionId: session.id,
        epoch,
        chainSecret: rekeying.chainSecret,
        initiatorEphemeral: isInitiator ? pair.publicKey : publicKey,
        responderEphemeral: isInitiator ? publicKey : pair.publicKey,
        sharedSecret,
      },
      session.role,
    );
    sharedSecret.fill(0);
    return keys;
  }

  /** Gets ready to open packets of the epoch, moves the chain on, and returns the key to seal with. Wipes `keys`. */
  #install(session: Session, rekeying: RekeyState, epoch: number, keys: SessionKeys): SealingKey {
    const provider = this.#state.config.aead;
    session.rx.install(new PacketCipher(keys.rxKey, session.id, provider));
    rekeying.advanceChain(keys.chainSecret as Uint8Array);
    const key = new SealingKey(keys.txKey, session.id, { counter: epochCounter(epoch), provider });
    keys.destroy();
    return key;
  }

  /** Sends what is due and wipes what has had its time; returns the next deadline. */
  onDeadline(session: Session, rekeying: RekeyState): number {
    const { nowMs } = this.#state;
    const previousUntilMs = session.rx.expire(nowMs);
    if (!session.isConfirmed) return previousUntilMs;
    if (nowMs >= rekeying.expiresAtMs) rekeying.isDue = true;
    let next = previousUntilMs;
    if (rekeying.isDue && this.#canStart(session, rekeying))
      next = Math.min(next, this.#start(session, rekeying));
    if (rekeying.unanswered !== undefined) {
      if (nowMs >= rekeying.repeatAtMs) {
        this.#writer.sendControl(session, NETMESH_CONTROL, [rekeying.unanswered.message]);
        rekeying.backOff(nowMs);
      }
      return Math.min(next, rekeying.repeatAtMs);
    }
    return rekeying.isDue ? next : Math.min(next, rekeying.expiresAtMs);
  }

  #canStart(session: Session, { unanswered, pendingKey, epoch }: RekeyState): boolean {
    return (
      unanswered === undefined &&
      pendingKey === undefined &&
      !session.rx.hasPrevious &&
      // Nobody would answer; with the peer's next packet it goes on.
      !session.isSilent &&
      epoch < LAST_EPOCH
    );
  }

  /** Makes the message by which this side brings renewal about; returns when to try again if that has to wait. */
  #start(session: Session, rekeying: RekeyState): number {
    const { nowMs, config } = this.#state;
    const epoch = rekeying.epoch + 1;
    if (session.role === "responder") {
      const kind = RekeyKind.REQUEST;
      rekeying.await({ kind, epoch, message: encodeRekey({ kind, epoch }) });
      return Number.POSITIVE_INFINITY;
    }
    if (!this.#admit(rekeying)) {
      this.#state.counters.rekeyPaced++;
      return nowMs + BUDGET_PAUSE_MS;
    }
    const kind = RekeyKind.PROPOSE;
    const pair = defaultCurve.generateKeyPair(config.random);
    const message = encodeRekey({ kind, epoch, publicKey: pair.publicKey });
    rekeying.await({ kind, epoch, message }, pair);
    return Number.POSITIVE_INFINITY;
  }
}
