import { encodeRendezvous, type PunchCandidates, SocketAddress, Subprotocol } from "@netmesh/wire";
import { isWildcard } from "./nat-classifier.ts";
import { isPublicIpv4 } from "./port-mapping/external-address.ts";
import { isPunchTarget } from "./punch-target.ts";
import { RateLimits } from "./rate-limits.ts";
import { fromBlock, toBlock } from "./socket-block.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** Addresses of its host that a node tells, and those of a peer that are tried. */
const MAX_TOLD = 8;
const MAX_TRIED = 4;
/** Head start of each address over the next one (RFC 8305 §5), and questions at each. */
const STAGGER_MS = 250;
const ASKS = 3;
/** Times in ten seconds that a peer is told, and that its addresses are tried: at most 24 questions. */
const TOLD_PER_WINDOW = 1;
const TRIED_PER_WINDOW = 2;
const WINDOW_MS = 10_000;
/** Peers whose addresses are known; the one whose were learnt first makes room. */
const MAX_PEERS = 1_024;

/** What exchanging addresses has done so far. */
export interface CandidateCounters {
  /** Times that a peer was told this host's addresses. */
  told: number;
  received: number;
  /** Questions sent to addresses of peers' hosts. */
  tried: number;
  /** Messages of peers that may not know, that come too often, or that are not to be had here. */
  refused: number;
  /** Addresses that lead nowhere from here, and were not tried. */
  implausible: number;
}

/**
 * Short ways between two hosts of the same network, and over IPv6: each tells the other the addresses of its host, in the sealed
 * session that the two have over a relay, and asks for a sign of life where the other's may lead from here. IPv6 first.
 *
 * Only nodes of netmesh are told, only when one of the two looks for a direct path, and never a third one.
 */
export class LocalCandidates {
  readonly counters: CandidateCounters = { told: 0, received: 0, tried: 0, refused: 0, implausible: 0 };
  readonly #host: TraversalHost;
  readonly #timers: Timers;
  readonly #isShared: boolean;
  readonly #ownReflex: () => SocketAddress | undefined;
  readonly #told = new RateLimits<bigint>(TOLD_PER_WINDOW, WINDOW_MS, MAX_PEERS);
  readonly #taken = new RateLimits<bigint>(TRIED_PER_WINDOW, WINDOW_MS, MAX_PEERS);
  /** Addresses that are worth a try, by peer, best first. */
  readonly #known = new Map<bigint, readonly SocketAddress[]>();
  readonly #handles = new Set<unknown>();

  /** `isShared` is false when the operator wants neither to tell nor to be told. */
  constructor(
    host: TraversalHost,
    timers: Timers,
    isShared: boolean,
    ownReflex: () => SocketAddress | undefined,
  ) {
    this.#host = host;
    this.#timers = timers;
    this.#isShared = isShared;
    this.#ownReflex = ownReflex;
  }

  /** Tells a peer the addresses of this host, which answers with its own. */
  offer(peer: bigint): void {
    this.#tell(peer);
  }

  /**
   * Whether an address is of the peer's own host rather than of the NAT in front of it. The peer may have come from there before it
   * has told it.
   */
  has(peer: bigint, address: SocketAddress): boolean {
    if (!this.#isShared || this.#host.reflexOf(peer)?.equals(address) === true) return false;
    return (
      this.#known.get(peer)?.some((known) => known.equals(address)) === true ||
      this.#isPlausible(peer, address)
    );
  }

  /** Takes the addresses of a peer's host. */
  receive(from: bigint, { addresses }: PunchCandidates): void {
    const peer = this.#host.peer(from);
    if (!this.#isShared || peer?.movesPaths !== true || !this.#taken.take(from, this.#timers.now())) {
      this.counters.refused++;
      return;
    }
    this.counters.received++;
    const all = addresses.map(fromBlock);
    const plausible = all.filter((address) => this.#isPlausible(from, address));
    this.counters.implausible += all.length - plausible.length;
    plausible.sort((a, b) => b.family - a.family);
    const worth = plausible.slice(0, MAX_TRIED);
    this.#known.delete(from);
    if (this.#known.size >= MAX_PEERS) this.#known.delete(this.#known.keys().next().value as bigint);
    this.#known.set(from, worth);
    this.#tell(from);
    for (const [i, address] of worth.entries()) {
      for (let ask = 0; ask < ASKS; ask++) {
        this.#after((i + ask) * STAGGER_MS, () => this.#ask(from, address));
      }
    }
  }

  /** Ends everything. */
  close(): void {
    for (const handle of this.#handles) this.#timers.cancel(handle);
    this.#handles.clear();
    this.#known.clear();
  }

  #ask(nodeId: bigint, address: SocketAddress): void {
    const peer = this.#host.peer(nodeId);
    if (peer === undefined || peer.isDirect) return;
    this.counters.tried++;
    this.#host.tryPath(nodeId, address);
  }

  #tell(nodeId: bigint): void {
    const peer = this.#host.peer(nodeId);
    if (!this.#isShared || peer?.movesPaths !== true || peer.isDirect) return;
    const addresses = this.#own().flatMap((address) => toBlock(address) ?? []);
    if (addresses.length === 0 || !this.#told.take(nodeId, this.#timers.now())) return;
    const message = encodeRendezvous({ type: "punch-candidates", addresses });
    if (this.#host.send(nodeId, Subprotocol.RENDEZVOUS, message)) this.counters.told++;
  }

  /** Addresses under which this host's socket is reached on its networks. */
  #own(): SocketAddress[] {
    const { localAddress } = this.#host;
    const { host, port, family } = localAddress;
    if (!isWildcard(host)) return [localAddress];
    const own = (this.#host.interfaceAddresses() ?? [])
      .map((address) => SocketAddress.parse({ host: address, port }))
      .filter((address) => isPunchTarget(address, localAddress) && !address.host.includes("%"))
      // A socket of IPv4 takes nothing of IPv6.
      .filter((address) => address.family <= family);
    own.sort((a, b) => b.family - a.family);
    return own.slice(0, MAX_TOLD);
  }

  /**
   * Whether an address may lead to the peer from here: a public one of IPv6 where this host has one, too; another one on a network
   * that this host is on, or behind the same NAT. What is private elsewhere is somebody else's here.
   */
  #isPlausible(peer: bigint, address: SocketAddress): boolean {
    const { localAddress } = this.#host;
    if (!isPunchTarget(address, localAddress) || address.family > localAddress.family) return false;
    const own = this.#own();
    if (own.some((mine) => mine.equals(address))) return false;
    if (own.some((mine) => networkOf(mine) === networkOf(address))) return true;
    if (isGlobalIpv6(address)) return own.some(isGlobalIpv6);
    if (address.family === 4 && isPublicIpv4(address.host)) return false;
    const reflex = this.#ownReflex();
    return reflex !== undefined && this.#host.reflexOf(peer)?.host === reflex.host;
  }

  #after(delayMs: number, run: () => void): void {
    const handle = this.#timers.after(delayMs, () => {
      this.#handles.delete(handle);
      run();
    });
    this.#handles.add(handle);
  }
}

/** The usual sizes of networks at home and at work: 24 bits of an IPv4 address, 64 of an IPv6 address. */
function networkOf(address: SocketAddress): string {
  const { family, address: bytes } = toBlock(address) ?? { family: 0, address: [] };
  return `${family}:${bytes.slice(0, family === 4 ? 3 : 8).join(".")}`;
}

function isGlobalIpv6({ family, host }: SocketAddress): boolean {
  return family === 6 && /^[23]/.test(host);
}
