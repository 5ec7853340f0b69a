import { MigrationError } from "@netmesh/compute";
import type { Session } from "@netmesh/mesh";
import { copyBytes, readU64, writeU64 } from "@netmesh/wire";

// Between netmesh nodes, under the subprotocol of migrations (docs/protocol/migration.md): type u8 ‖ origin hash u64, and in the
// answer the static key, 32 bytes. A node that runs no daemons answers the request with Net's MigrationFailed.
const REQUEST = 0x88;
const ANSWER = 0x89;
const MIGRATION_FAILED = 6;
const PREFIX_BYTES = 9;
const KEY_BYTES = 32;

/** Pause between two requests, and how many there are. */
const REPEAT_MS = 500;
const TRIES = 6;

type Outcome = "known" | "refused" | "silent";

interface Question {
  readonly session: Session;
  readonly originHash: bigint;
  readonly settle: (outcome: Outcome) => void;
}

/**
 * The static keys of peers that began their session, which a handshake does not tell: they are asked for inside the session, once the peer has
 * proven its identity there. One that lies gets a daemon's key that it cannot open.
 */
export class StaticKeys {
  /** This node's own, 32 bytes. */
  readonly #own: Uint8Array;
  readonly #send: (session: Session, message: Uint8Array) => boolean;
  readonly #known = new WeakMap<Session, Uint8Array>();
  /** One for each move that waits to begin. */
  readonly #questions = new Set<Question>();

  /** `send` says whether the session took the message. */
  constructor(own: Uint8Array, send: (session: Session, message: Uint8Array) => boolean) {
    this.#own = own;
    this.#send = send;
  }

  /** The static key of a session's peer. */
  get(session: Session): Uint8Array | undefined {
    return session.role === "initiator" ? session.peer.publicKey : this.#known.get(session);
  }

  /** Asks for it; whether it is known then. Rejects with `compute-not-supported`. */
  async ask(session: Session, originHash: bigint): Promise<boolean> {
    const request = new Uint8Array(PREFIX_BYTES);
    request[0] = REQUEST;
    writeU64(request, 1, originHash);
    for (let tries = 0; tries < TRIES; tries++) {
      // A peer that has not proven its identity yet may do so before the next request.
      if (session.entityId !== undefined && !this.#send(session, request)) return false;
      const outcome = await this.#outcome(session, originHash);
      if (outcome === "known") return true;
      if (outcome === "refused") {
        const node = session.peer.nodeId;
        throw new MigrationError("compute-not-supported", "the target runs no daemons", { originHash, node });
      }
    }
    return false;
  }

  /** Takes a message of the subprotocol; true when nobody else needs it. */
  receive(session: Session, data: Uint8Array): boolean {
    if (data.length < PREFIX_BYTES) return false;
    const originHash = readU64(data, 1);
    if (data[0] === MIGRATION_FAILED) this.#settle(session, originHash, "refused");
    if (data[0] === REQUEST) {
      const answer = new Uint8Array(PREFIX_BYTES + KEY_BYTES);
      answer.set(data.subarray(0, PREFIX_BYTES));
      answer[0] = ANSWER;
      answer.set(this.#own, PREFIX_BYTES);
      this.#send(session, answer);
      return true;
    }
    if (data[0] !== ANSWER) return false;
    const isKey = data.length === PREFIX_BYTES + KEY_BYTES && session.entityId !== undefined;
    // Only what was asked for is believed.
    if (isKey && this.#settle(session, originHash, "known")) {
      this.#known.set(session, copyBytes(data, PREFIX_BYTES));
    }
    return true;
  }

  #settle(session: Session, originHash: bigint, outcome: Outcome): boolean {
    let isAsked = false;
    for (const question of [...this.#questions]) {
      if (question.session !== session || question.originHash !== originHash) continue;
      isAsked = true;
      question.settle(outcome);
    }
    return isAsked;
  }

  #outcome(session: Session, originHash: bigint): Promise<Outcome> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => question.settle("silent"), REPEAT_MS);
      const question: Question = {
        session,
        originHash,
        settle: (outcome) => {
          clearTimeout(timer);
          this.#questions.delete(question);
          resolve(outcome);
        },
      };
      this.#questions.add(question);
    });
  }
}
