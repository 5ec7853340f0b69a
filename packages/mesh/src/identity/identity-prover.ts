import { Identity, verifyIdentityProof } from "@netmesh/crypto";
import { decodeIdentityProof, encodeIdentityProof, NETMESH_CONTROL } from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";
import type { IdentityState } from "./identity-state.ts";

/**
 * Proves to netmesh peers who this node is, and takes their proofs (docs/protocol/identity-proof.md). The handshake proves no
 * more than the mesh's key, and the Noise key of the side that answers.
 */
export class IdentityProver {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;

  constructor(state: CoreState, writer: PacketWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** Begins proving in a session that the peer has keys for. */
  begin(session: Session): void {
    if (session.identity !== undefined) this.#send(session, session.identity);
  }

  /** Sends the proof again when it is due. Returns the next deadline. */
  onDeadline(session: Session): number {
    const { identity } = session;
    if (identity === undefined) return Number.POSITIVE_INFINITY;
    if (this.#state.nowMs >= identity.repeatAtMs) this.#send(session, identity);
    return identity.repeatAtMs;
  }

  /** Takes a proof. True when it is the first good one of the session. */
  receive(session: Session, identity: IdentityState, event: Uint8Array): boolean {
    const { counters, nowMs } = this.#state;
    const proof = decodeIdentityProof(event);
    if (proof === undefined) {
      counters.controlMalformed++;
      return false;
    }
    const isFirst = identity.proven === undefined;
    if (isFirst && !this.#verify(session, identity, proof.entityId, proof.signature)) return false;
    if (proof.has) {
      identity.isKnown = true;
      identity.repeatAtMs = Number.POSITIVE_INFINITY;
    }
    if (proof.asks && identity.answers.has(nowMs)) {
      identity.answers.spend(nowMs);
      this.#send(session, identity);
    }
    return isFirst;
  }

  #verify(session: Session, identity: IdentityState, entityId: Uint8Array, signature: Uint8Array): boolean {
    const { counters, nowMs } = this.#state;
    if (!identity.verifications.has(nowMs)) {
      counters.identityLimited++;
      return false;
    }
    identity.verifications.spend(nowMs);
    const peerRole = identity.role === "initiator" ? "responder" : "initiator";
    const isOwner = verifyIdentityProof(identity.binding, peerRole, entityId, signature);
    if (!isOwner || Identity.publicOnly(entityId).nodeId !== session.peer.nodeId) {
      counters.identityForged++;
      return false;
    }
    counters.identityProven++;
    identity.proven = entityId;
    return true;
  }

  #send(session: Session, identity: IdentityState): void {
    const { nowMs, alarms } = this.#state;
    const message = encodeIdentityProof({
      ...identity.own,
      has: identity.proven !== undefined,
      asks: !identity.isKnown,
    });
    this.#writer.sendControl(session, NETMESH_CONTROL, [message]);
    identity.repeatLater(nowMs);
    if (!identity.isKnown) alarms.hasten(session, identity.repeatAtMs);
  }
}
