import { type AeadKey, type RandomSource, randomBytes } from "@netmesh/crypto";
import { copyBytes, HEADER_SIZE, HeaderOffset, TAG_SIZE } from "@netmesh/wire";
import { type HandshakeRoute, handshakeDatagram } from "./handshake-datagram.ts";
import { guardKey, STAMP_OFFSET, StampedText, type StampLabel } from "./member-stamp.ts";
import { COOKIE_SIZE } from "./source-cookie.ts";

const NONCE_OFFSET = HeaderOffset.NONCE_PREFIX;
const NONCE_SIZE = 12;
/** The sealed text: the cookie, and zeros. */
const TEXT_SIZE = 16;
const EMPTY = new Uint8Array();

/**
 * Cookie replies: a handshake packet without a Noise message, 68 bytes, shorter than any message that it can answer. Its
 * header holds a random nonce (12..24), the sealed cookie (24..40) and a tag (40..56) under a key that follows from the
 * PSK; the tag covers the stamp of the message that is answered, so that a reply fits no other.
 */
export class CookieReplies {
  readonly #key: AeadKey;
  readonly #random: RandomSource;
  readonly #text = new StampedText();

  /** @param psk - the mesh's key, 32 bytes; not kept */
  constructor(psk: Uint8Array, random: RandomSource) {
    this.#key = guardKey(psk, "cookie reply");
    this.#random = random;
  }

  /**
   * The datagram that gives a cookie to the author of a message with that stamp, 16 bytes at `stampOffset`. The ids are
   * those of the reply: its source is the node that answers.
   */
  write(
    cookie: Uint8Array,
    label: StampLabel,
    sourceId: number,
    destinationId: number,
    stamp: Uint8Array,
    stampOffset: number,
    route: HandshakeRoute | undefined,
  ): Uint8Array {
    const packet = handshakeDatagram(EMPTY, route);
    const offset = packet.length - HEADER_SIZE;
    const nonce = randomBytes(NONCE_SIZE, this.#random);
    packet.set(nonce, offset + NONCE_OFFSET);
    packet.set(cookie, offset + STAMP_OFFSET);
    const text = this.#assemble(label, sourceId, destinationId, stamp, stampOffset);
    this.#key.seal(nonce, text, packet, offset + STAMP_OFFSET, TEXT_SIZE);
    return packet;
  }

  /** The cookie in the packet at `offset`, when it answers the message with that stamp; 12 bytes, the caller's. */
  open(
    packet: Uint8Array,
    offset: number,
    label: StampLabel,
    sourceId: number,
    destinationId: number,
    stamp: Uint8Array,
  ): Uint8Array | undefined {
    const nonce = copyBytes(packet, offset + NONCE_OFFSET, offset + NONCE_OFFSET + NONCE_SIZE);
    const sealed = copyBytes(packet, offset + STAMP_OFFSET, offset + STAMP_OFFSET + TEXT_SIZE + TAG_SIZE);
    const text = this.#assemble(label, sourceId, destinationId, stamp, 0);
    if (!this.#key.open(nonce, text, sealed, 0, sealed.length)) return undefined;
    return sealed.slice(0, COOKIE_SIZE);
  }

  #assemble(
    label: StampLabel,
    sourceId: number,
    destinationId: number,
    stamp: Uint8Array,
    stampOffset: number,
  ): Uint8Array {
    return this.#text.assemble(label, sourceId, destinationId, stamp, stampOffset, EMPTY, 0, 0) as Uint8Array;
  }

  /** Wipes the key. */
  destroy(): void {
    this.#key.destroy();
  }
}
