import { NETMESH_CONTROL, Subprotocol } from "@netmesh/wire";
import { MeshError } from "../errors.ts";
import type { Session } from "../session/session.ts";

/**
 * Takes the events of a subprotocol, one at a time. The bytes are only valid during the call. Not for use by the
 * application: what it throws ends the input.
 */
export type SubprotocolHandler = (session: Session, event: Uint8Array) => void;

/** Ids that the engine deals with itself; an event of one that is not in use here is counted and dropped. */
const OWN_IDS: ReadonlySet<number> = new Set([
  Subprotocol.EVENTS,
  Subprotocol.MIGRATION,
  Subprotocol.CHANNEL_MEMBERSHIP,
  Subprotocol.STREAM_WINDOW,
  Subprotocol.STREAM_NACK,
  Subprotocol.STREAM_RESET,
  Subprotocol.CAPABILITY_ANNOUNCEMENT,
  Subprotocol.REFLEX,
  Subprotocol.RENDEZVOUS,
  Subprotocol.LOG_REPLICATION,
  Subprotocol.FEDERATED_QUERY,
  Subprotocol.FOLD,
  Subprotocol.BLOB_TRANSFER,
  NETMESH_CONTROL,
]);

const MAX_U16 = 0xffff;

/** Who takes the events of which subprotocol (spec/mesh.md §§6.5, 11). */
export class SubprotocolTable {
  readonly #handlers = new Map<number, SubprotocolHandler>();
  readonly #ofApplication = new Set<number>();

  /** Who takes the events of that id. */
  get(id: number): SubprotocolHandler | undefined {
    return this.#handlers.get(id);
  }

  /** Whether the engine deals with the id itself. */
  isOwn(id: number): boolean {
    return OWN_IDS.has(id);
  }

  /** Installs a part of this node. Throws `subprotocol-in-use`. */
  install(id: number, handler: SubprotocolHandler): void {
    if (this.#handlers.has(id)) throw inUse(id);
    this.#handlers.set(id, handler);
  }

  /** Installs a handler of the application. Throws `invalid-argument` and `subprotocol-in-use`. */
  register(id: number, handler: SubprotocolHandler): void {
    requireSubprotocolId(id);
    if (OWN_IDS.has(id)) throw inUse(id);
    this.install(id, handler);
    this.#ofApplication.add(id);
  }

  /** Takes {@link register} back; false when there was no such handler. */
  unregister(id: number): boolean {
    return this.#ofApplication.delete(id) && this.#handlers.delete(id);
  }

  /** The ids that the application handles, ascending. */
  get registered(): number[] {
    return [...this.#ofApplication].sort((a, b) => a - b);
  }
}

/** Throws `invalid-argument` unless the id is a u16. */
export function requireSubprotocolId(id: number): void {
  if (!Number.isInteger(id) || id < 0 || id > MAX_U16) {
    throw new MeshError("invalid-argument", "a subprotocol id is an integer from 0 to 65535", MAX_U16);
  }
}

function inUse(id: number): MeshError {
  return new MeshError("subprotocol-in-use", `subprotocol 0x${id.toString(16).padStart(4, "0")} is taken`);
}
