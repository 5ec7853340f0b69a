import { HEADER_SIZE, high32, low32, SocketAddress, writeU32 } from "@netmesh/wire";
import { handshakeDatagram } from "../src/handshake/handshake-datagram.ts";
import { MemberStamps, PROOF_OFFSET, StampLabel } from "../src/handshake/member-stamp.ts";
import { SeededRandom, type TestNetwork, type TestNode } from "../src/testing/index.ts";

/** Bytes of the stamp and the proof in the header of a handshake packet. */
export const GUARD_FIELDS: readonly [number, number] = [24, 56];
const MESSAGE_SIZE = 64;
const FULL_ID_HI = PROOF_OFFSET + 12;

/** An attacker that writes any source address it likes. */
export class Forger {
  readonly #random: SeededRandom;
  readonly #stamps: MemberStamps;
  readonly #network: TestNetwork;
  #sources = 0;

  constructor(network: TestNetwork, seed = 9) {
    this.#network = network;
    this.#random = new SeededRandom(seed);
    this.#stamps = new MemberStamps(network.psk);
  }

  /** An address that was not used before. */
  source(): SocketAddress {
    const i = this.#sources++;
    return SocketAddress.parse(`198.${18 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}:4000`);
  }

  /** A message 1 of somebody without the PSK, with a random stamp or none. */
  outsider(victim: TestNode, hasStamp: boolean, from: bigint = BigInt(this.#random.uint32())): Uint8Array {
    const datagram = handshakeDatagram(this.#random.bytes(MESSAGE_SIZE), { from, to: victim.nodeId });
    const header = datagram.length - MESSAGE_SIZE - HEADER_SIZE;
    if (hasStamp) datagram.set(this.#random.bytes(32), header + GUARD_FIELDS[0]);
    return datagram;
  }

  /** A message 1 with a valid stamp, which is all that a member needs for a flood: the rest is noise. */
  member(victim: TestNode, from: bigint = BigInt(this.#random.uint32()), cookie?: Uint8Array): Uint8Array {
    const datagram = handshakeDatagram(this.#random.bytes(MESSAGE_SIZE), { from, to: victim.nodeId });
    const header = datagram.length - MESSAGE_SIZE - HEADER_SIZE;
    if (cookie !== undefined) datagram.set(cookie, header + PROOF_OFFSET);
    writeU32(datagram, header + FULL_ID_HI, high32(from));
    const to = low32(victim.nodeId);
    const { ROUTED_MESSAGE_1 } = StampLabel;
    this.#stamps.write(datagram, header, ROUTED_MESSAGE_1, low32(from), to, datagram, header + PROOF_OFFSET);
    return datagram;
  }

  /**
   * Sends `perMs` datagrams each millisecond of virtual time for `durationMs`, straight to the victim's socket, unless
   * `isOver` says that it is enough. Returns how many were sent.
   */
  flood(
    victim: TestNode,
    durationMs: number,
    perMs: number,
    make: (i: number) => Uint8Array,
    isOver: () => boolean = () => false,
  ): number {
    let sent = 0;
    for (let ms = 0; ms < durationMs && !isOver(); ms++) {
      for (let i = 0; i < perMs; i++) victim.transport.deliver(make(sent++), this.source());
      this.#network.advance(1);
    }
    return sent;
  }
}

/** Messages 1 of `from` to `to` that nobody got: what somebody on the path has recorded and kept back. */
export function recordings(network: TestNetwork, from: TestNode, to: TestNode, count: number): Uint8Array[] {
  const recorded: Uint8Array[] = [];
  network.net.tap = (bytes, source) => {
    if (!source.equals(from.transport.localAddress)) return true;
    recorded.push(bytes.slice());
    return false;
  };
  for (let i = 0; i < count; i++) {
    const attempt = from.call((core) =>
      core.connect(to.nodeId, to.keys.publicKey, to.transport.localAddress, "routed"),
    );
    network.advance(0);
    from.call((core) => core.abandon(attempt));
  }
  network.net.tap = undefined;
  return recorded;
}
