import { copyBytes, Subprotocol } from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";

/** Type and origin, with which every message about a daemon begins. */
const PREFIX_BYTES = 9;
/** The types that begin something: "take a snapshot" and "here is one" of Net, "prepare", "offer" and "key?" of netmesh (docs/protocol/migration.md). */
const REQUESTS = new Set([0, 1, 0x80, 0x87, 0x88]);
const MIGRATION_FAILED = 6;
const COMPUTE_NOT_SUPPORTED = 2;

/**
 * Passes messages about daemons on to whoever runs some. Where nobody does, a request is answered by one of 11 bytes, shorter than it
 * is: this node runs none (spec/compute.md §14).
 */
export class DaemonGate {
  /** Whether somebody runs daemons. */
  isOpen = false;
  readonly #state: CoreState;
  readonly #writer: PacketWriter;

  constructor(state: CoreState, writer: PacketWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** Takes a message of a peer. */
  receive(session: Session, event: Uint8Array): void {
    const { counters } = this.#state;
    if (this.isOpen) {
      counters.messagesReceived++;
      const data = copyBytes(event);
      this.#state.emit({ type: "message", session, subprotocolId: Subprotocol.MIGRATION, data });
      return;
    }
    counters.daemonMessagesUnwanted++;
    if (event.length < PREFIX_BYTES || !REQUESTS.has(event[0] as number)) return;
    const refusal = new Uint8Array(PREFIX_BYTES + 2);
    refusal.set(event.subarray(0, PREFIX_BYTES));
    refusal[0] = MIGRATION_FAILED;
    refusal[PREFIX_BYTES] = COMPUTE_NOT_SUPPORTED;
    this.#writer.sendMessage(session, Subprotocol.MIGRATION, refusal);
  }
}
