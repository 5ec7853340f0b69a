import type { SocketAddress } from "@netmesh/wire";
import type { NatClass } from "./nat-class.ts";

/** Answers that it takes to tell anything (traversal §2.3). */
export const MIN_OBSERVATIONS = 2;

/** Finds out the class of this node's NAT from what peers see of it (traversal §7.2). Pure; bounded by the peers that are asked. */
export class NatClassifier {
  readonly #observations = new Map<bigint, SocketAddress>();

  /** Peers whose answer is known. */
  get count(): number {
    return this.#observations.size;
  }

  /** Takes the address that a peer sees; in place of an earlier one of the same peer. */
  observe(peer: bigint, seen: SocketAddress): void {
    this.#observations.set(peer, seen);
  }

  /** Forgets everything. */
  clear(): void {
    this.#observations.clear();
  }

  /**
   * The class.
   *
   * @param bound - the socket's own address
   * @param interfaces - IP addresses of this host: a socket that is bound to all of them counts as open only under one of these,
   * since many NATs keep the port. Undefined: under any.
   */
  classify(bound: SocketAddress, interfaces?: readonly string[]): NatClass {
    if (this.#observations.size < MIN_OBSERVATIONS) return "unknown";
    const seen = [...this.#observations.values()];
    if (seen.some((address) => isOwn(address, bound, interfaces))) return "open";
    const [{ port }] = seen as [SocketAddress];
    return seen.every((address) => address.port === port) ? "cone" : "symmetric";
  }
}

function isOwn(
  seen: SocketAddress,
  bound: SocketAddress,
  interfaces: readonly string[] | undefined,
): boolean {
  if (seen.port !== bound.port) return false;
  if (!isWildcard(bound.host)) return seen.host === bound.host;
  return interfaces === undefined || interfaces.includes(seen.host);
}

/** Whether a socket bound to that IP address takes datagrams to every address of the host. */
export function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
