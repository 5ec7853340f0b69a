import { identityBinding, identityProofMessage, type SessionRole } from "@netmesh/crypto";
import type { Signer } from "../core/config.ts";
import { OperationBudget } from "../rekey/operation-budget.ts";

/** Proofs of a peer that are verified a second, and proofs that it is answered with. */
const PROOFS_PER_SECOND = 4;
const FIRST_REPEAT_MS = 250;
const LONGEST_REPEAT_MS = 4_000;

/** Where a session stands with proving who its two ends are. */
export class IdentityState {
  /** The peer's Ed25519 public key, once it has proven to hold it in this session. */
  proven: Uint8Array | undefined;
  /** Whether the peer has said that it has this node's proof. */
  isKnown = false;
  /** When this node's proof is sent again, `Infinity` when it need not be. */
  repeatAtMs: number = Number.POSITIVE_INFINITY;
  readonly verifications: OperationBudget = new OperationBudget(PROOFS_PER_SECOND);
  readonly answers: OperationBudget = new OperationBudget(PROOFS_PER_SECOND);
  readonly role: SessionRole;
  /** What both ends sign, 32 bytes. */
  readonly binding: Uint8Array;
  readonly #signer: Signer;
  #signature: Uint8Array | undefined;
  #pauseMs = FIRST_REPEAT_MS;

  /** @param chainSecret - of the handshake, 32 bytes; not kept */
  constructor(chainSecret: Uint8Array, role: SessionRole, signer: Signer) {
    this.binding = identityBinding(chainSecret);
    this.role = role;
    this.#signer = signer;
  }

  /** This node's public key and its signature of the session, made when first asked for. */
  get own(): { readonly entityId: Uint8Array; readonly signature: Uint8Array } {
    this.#signature ??= this.#signer.sign(identityProofMessage(this.binding, this.role));
    return { entityId: this.#signer.entityId, signature: this.#signature };
  }

  /** Sets when the proof that was just sent is sent again, later each time; never once the peer has it. */
  repeatLater(nowMs: number): void {
    this.repeatAtMs = this.isKnown ? Number.POSITIVE_INFINITY : nowMs + this.#pauseMs;
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_REPEAT_MS);
  }
}
