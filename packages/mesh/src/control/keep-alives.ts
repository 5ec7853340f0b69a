import { decodeKeepAlive, encodeKeepAlive, type SocketAddress } from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";

/** Nodes whose keep-alives may be awaited at once. */
const MAX_AWAITED = 256;

/**
 * The small datagrams that open the way through a NAT: plain text that proves nothing, so those of nodes that nobody awaits are
 * counted and dropped unread (spec/traversal.md §9.2).
 */
export class KeepAlives {
  readonly #state: CoreState;
  readonly #awaited = new Set<bigint>();

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** Reports that node's keep-alives from now on. Throws `invalid-argument` when 256 nodes are awaited already. */
  await(nodeId: bigint): void {
    if (this.#awaited.size >= MAX_AWAITED && !this.#awaited.has(nodeId)) {
      throw new MeshError("invalid-argument", `at most ${MAX_AWAITED} nodes can be awaited`, MAX_AWAITED);
    }
    this.#awaited.add(nodeId);
  }

  /** Takes {@link await} back. */
  ignore(nodeId: bigint): void {
    this.#awaited.delete(nodeId);
  }

  /** Takes a datagram of that kind. */
  receive(bytes: Uint8Array, source: SocketAddress): void {
    const { counters } = this.#state;
    const keepAlive = this.#awaited.size === 0 ? undefined : decodeKeepAlive(bytes);
    if (keepAlive === undefined || !this.#awaited.has(keepAlive.nodeId)) {
      counters.keepAliveIgnored++;
      return;
    }
    counters.keepAliveTaken++;
    this.#state.emit({ type: "keep-alive", ...keepAlive, source });
  }

  /** Sends one. */
  send(to: SocketAddress, punchId: number): void {
    this.#state.counters.keepAliveSent++;
    this.#state.transmit(encodeKeepAlive({ nodeId: this.#state.config.nodeId, punchId }), to);
  }
}
