import {
  copyBytes,
  decodeHeader,
  HEADER_SIZE,
  type HeaderFields,
  PacketFlags,
  ROUTING_HEADER_SIZE,
  type SocketAddress,
} from "@netmesh/wire";
import type { TestNetwork, TestNode } from "../src/testing/index.ts";
import { blake2s, hmacBlake2s } from "./blake2s.ts";

/** A recorded packet, without its routing header. */
export interface Recorded {
  readonly bytes: Uint8Array;
  readonly header: HeaderFields;
  readonly from: string;
}

/** Somebody who sees every datagram of a network. */
export class Recorder {
  readonly packets: Recorded[] = [];

  constructor(network: TestNetwork) {
    network.net.tap = (bytes, from) => this.#record(bytes, from);
  }

  #record(datagram: Uint8Array, from: SocketAddress): boolean {
    const isRouted = datagram[0] === 0x52 && datagram[1] === 0x54;
    const bytes = copyBytes(datagram, isRouted ? ROUTING_HEADER_SIZE : 0);
    const header = decodeHeader(bytes);
    if (header !== undefined) this.packets.push({ bytes, header, from: from.key });
    return true;
  }

  /** The Noise messages that a node sent, in order. */
  messages(from: TestNode): Uint8Array[] {
    return this.packets
      .filter((packet) => isHandshake(packet) && packet.from === from.transport.localAddress.key)
      .map(({ bytes }) => copyBytes(bytes, HEADER_SIZE));
  }

  /** The sealed packets that a node sent, in order. */
  sealed(from: TestNode): Recorded[] {
    return this.packets.filter(
      (packet) => !isHandshake(packet) && packet.from === from.transport.localAddress.key,
    );
  }
}

function isHandshake({ header }: Recorded): boolean {
  return (header.flags & PacketFlags.HANDSHAKE) !== 0;
}

/** What is known of a recorded handshake. */
export interface Knowledge {
  readonly prologue: Uint8Array;
  readonly responderPublicKey: Uint8Array;
  readonly psk: Uint8Array;
  readonly message1: Uint8Array;
  readonly message2: Uint8Array;
  /** X25519(e_i, s_r), or a guess; left out when absent. */
  readonly es?: Uint8Array;
  /** X25519(e_i, e_r), or a guess; left out when absent. */
  readonly ee?: Uint8Array;
}

/**
 * The handshake's hash, and every chaining key on the way to the last, recomputed from the outside with another
 * implementation of the primitives (Noise specification §5.2). The hash needs no Diffie-Hellman result.
 */
export function recompute(known: Knowledge): { handshakeHash: Uint8Array; chainingKeys: Uint8Array[] } {
  let h = blake2s(new TextEncoder().encode("Noise_NKpsk0_25519_ChaChaPoly_BLAKE2s"));
  let ck = h;
  const chainingKeys = [ck];
  const mixHash = (data: Uint8Array) => {
    h = blake2s(h, data);
  };
  const hkdf = (material: Uint8Array): Uint8Array[] => {
    const temp = hmacBlake2s(ck, material);
    const first = hmacBlake2s(temp, Uint8Array.of(1));
    const second = hmacBlake2s(temp, first, Uint8Array.of(2));
    return [first, second, hmacBlake2s(temp, second, Uint8Array.of(3))];
  };
  const mixKey = (material: Uint8Array | undefined) => {
    if (material === undefined) return;
    ck = hkdf(material)[0] as Uint8Array;
    chainingKeys.push(ck);
  };
  mixHash(known.prologue);
  mixHash(known.responderPublicKey);
  const [afterPsk, hashed] = hkdf(known.psk) as [Uint8Array, Uint8Array];
  ck = afterPsk;
  chainingKeys.push(ck);
  mixHash(hashed);
  for (const [message, secret] of [
    [known.message1, known.es],
    [known.message2, known.ee],
  ] as const) {
    const ephemeral = message.subarray(0, 32);
    mixHash(ephemeral);
    mixKey(ephemeral);
    mixKey(secret);
    mixHash(message.subarray(32));
  }
  return { handshakeHash: h, chainingKeys };
}

/** Notes every 32 random bytes that nodes draw, so that a test can know their ephemeral keys. Seldom anything else. */
export function eavesdropRandom(network: TestNetwork): Uint8Array[] {
  const drawn: Uint8Array[] = [];
  const { random } = network;
  const fill = random.fill.bind(random);
  random.fill = (bytes) => {
    fill(bytes);
    if (bytes.length === 32) drawn.push(copyBytes(bytes));
  };
  return drawn;
}
