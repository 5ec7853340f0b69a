import {
  type AddressBlock,
  encodeReflex,
  encodeRendezvous,
  type RendezvousMessage,
  SocketAddress,
  Subprotocol,
} from "@netmesh/wire";
import { Traversal, TraversalError } from "../src/index.ts";
import { toBlock } from "../src/socket-block.ts";
import { FakeHost } from "./fake-host.ts";
import { seededRandom } from "./scripted-random.ts";
import { VirtualTimers } from "./virtual-timers.ts";

/** The node that all this is about, and one that may introduce. */
export const PEER = 2n;
export const COORDINATOR = 3n;
export const at = (text: string): SocketAddress => SocketAddress.parse(text);
/** Where {@link PEER} is seen. */
export const REFLEX: SocketAddress = at("198.51.100.7:9000");

/** An address as messages carry it. */
export function blockOf(address: SocketAddress): AddressBlock {
  const block = toBlock(address);
  if (block === undefined) throw new Error(address.key);
  return block;
}

/** What to do with a {@link node}. */
export interface LoneNode {
  readonly timers: VirtualTimers;
  readonly host: FakeHost;
  readonly traversal: Traversal;
  /** A rendezvous message of that peer arrives. */
  tell(from: bigint, message: RendezvousMessage): void;
  /** A peer says where it sees this node. */
  answer(from: bigint, seen: SocketAddress): void;
  /** {@link COORDINATOR} introduces {@link PEER}. */
  introduce(fireAtMs: bigint, reflex?: SocketAddress): void;
  /** How a call ends: `"resolved"`, or the kind of its error. */
  kindOf(call: Promise<unknown>): Promise<string>;
}

/** The traversal of a node that knows nobody. */
export function node(): LoneNode {
  const timers = new VirtualTimers();
  const host = new FakeHost(timers);
  host.localAddress = at("0.0.0.0:7000");
  const traversal = new Traversal({ host, timers, random: seededRandom(1) });
  const tell = (from: bigint, message: RendezvousMessage) =>
    traversal.receive(from, Subprotocol.RENDEZVOUS, encodeRendezvous(message));
  return {
    timers,
    host,
    traversal,
    tell,
    answer: (from, seen) =>
      traversal.receive(from, Subprotocol.REFLEX, encodeReflex({ type: "response", address: blockOf(seen) })),
    introduce: (fireAtMs, reflex = REFLEX) =>
      tell(COORDINATOR, { type: "punch-introduce", peer: PEER, reflex: blockOf(reflex), fireAtMs }),
    kindOf: (call) =>
      call.then(
        () => "resolved",
        (error: unknown) => (error instanceof TraversalError ? error.kind : String(error)),
      ),
  };
}

/** One that {@link COORDINATOR} may introduce to {@link PEER}, which is reached over a relay. */
export function introducedNode(): LoneNode {
  const lone = node();
  lone.host.add(PEER);
  lone.host.add(COORDINATOR, { isDirect: true });
  lone.host.reflexes.set(PEER, REFLEX);
  return lone;
}
