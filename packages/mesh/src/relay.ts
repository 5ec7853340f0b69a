import {
  copyBytes,
  forwardInPlace,
  ROUTING_HEADER_SIZE,
  RoutingHeader,
  type SocketAddress,
} from "@netmesh/wire";
import type { CoreState } from "./core/state.ts";

/**
 * Passes routed packets of others on: look the destination up, rewrite 18 bytes, send. Nothing is opened and nothing
 * copied (spec/wire.md §7). By default only packets that come from a peer's address are forwarded (weakness W3).
 */
export class Relay {
  readonly #state: CoreState;
  readonly #header = new RoutingHeader();
  /** The next hop whose path was last said to be in use, and when: once for each run of packets is enough. */
  #usedHop: SocketAddress | undefined;
  #usedMs = 0;

  constructor(state: CoreState) {
    this.#state = state;
  }

  /** Takes a routed datagram for somebody else; the bytes are rewritten in place. */
  forward(bytes: Uint8Array, from: SocketAddress): void {
    const { counters, config, routes, addresses, blocked, outbox, neighbors, nowMs } = this.#state;
    if (config.relay === "off" || (config.relay === "peers" && !addresses.has(from.key))) {
      counters.routedStranger++;
      return;
    }
    const header = this.#header.wrap(bytes, 0);
    if (header.ttl === 0) {
      counters.routedExpired++;
      return;
    }
    const nextHop = routes.lookup(header.destinationLo, header.destinationHi, nowMs);
    if (nextHop === undefined) {
      counters.routedNoRoute++;
      return;
    }
    if (nextHop.key === from.key) {
      counters.routedBounce++;
      return;
    }
    if (blocked.size > 0 && blocked.has(nextHop.key)) {
      counters.blockedDestination++;
      return;
    }
    if (nextHop !== this.#usedHop || nowMs !== this.#usedMs) {
      this.#usedHop = nextHop;
      this.#usedMs = nowMs;
      neighbors.at(nextHop)?.session.watch?.used(nowMs);
    }
    if (config.auditRelay) this.#audit(bytes);
    forwardInPlace(bytes, 0);
    if (!outbox.pushBorrowed(bytes, nextHop)) {
      counters.routedRefused++;
      return;
    }
    counters.forwarded++;
    counters.bytesForwarded += bytes.length;
  }

  #audit(bytes: Uint8Array): void {
    const { counters, sessions } = this.#state;
    counters.relayAudited++;
    for (const session of sessions) {
      for (const { cipher } of session.rx) {
        const copy = copyBytes(bytes, ROUTING_HEADER_SIZE);
        if (cipher.openPacket(copy, 0, copy.length) >= 0) counters.relayOpened++;
      }
    }
  }
}
