import type { MeshNode } from "@netmesh/mesh";
import { type OpOptions, requireBytes, requireId, signalOf } from "./arguments.ts";
import { StreamError, toNetError } from "./errors.ts";

/** A message of a subprotocol. */
export interface SubprotocolMessage {
  /** Node id of the sender. */
  readonly peer: bigint;
  /** The payload, owned by whoever receives it; may be empty. */
  readonly data: Uint8Array;
}

/** What an application does with a subprotocol. */
export interface SubprotocolOptions {
  /** Takes every message that arrives; what it throws is announced as `error`. Without it messages are dropped. */
  readonly onMessage?: ((message: SubprotocolMessage) => void) | undefined;
}

/**
 * A protocol of the application's own beside streams: single messages, each in a packet of its own, neither repaired nor put in
 * order. Disposing of it lets messages of that id be ordinary events again.
 */
export class Subprotocol implements Disposable {
  /** The id, a u16; third parties use 0x2000 to 0xefff. */
  readonly id: number;
  readonly #node: MeshNode;
  readonly #onClose: () => void;

  /** Use `Mesh.subprotocol`. */
  constructor(node: MeshNode, id: number, onClose: () => void) {
    this.id = id;
    this.#node = node;
    this.#onClose = onClose;
  }

  /**
   * Sends a message once. Resolves when it was handed to the transport. Rejects with `unknown-peer`, `message-too-large`
   * beyond one datagram of the path, `backpressure` while the transport is behind.
   */
  async send(peer: bigint, data: Uint8Array, options?: OpOptions): Promise<void> {
    requireId(peer, "peer");
    requireBytes(data, undefined, "data");
    signalOf(options)?.throwIfAborted();
    try {
      const isTaken = this.#node.core.sendMessage(peer, this.id, data);
      this.#node.touch();
      if (!isTaken) throw new StreamError("backpressure", "the transport is behind");
    } catch (error) {
      throw toNetError(error);
    }
  }

  /** Stops handling the subprotocol. Idempotent. */
  close(): void {
    this.#onClose();
  }

  /** {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }
}
