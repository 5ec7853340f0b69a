import { type AeadKey, aeadProvider, keyedBlake2s, X25519_KEY_SIZE } from "@netmesh/crypto";
import { HEADER_SIZE, HeaderOffset, TAG_SIZE, writeU32 } from "@netmesh/wire";

/** Bytes of a stamp: a Poly1305 tag. */
export const STAMP_SIZE: number = TAG_SIZE;
/** Where the stamp is in the header of a handshake packet: in the fields session id and stream id. */
export const STAMP_OFFSET: number = HeaderOffset.SESSION_ID;
/** Where the proof of the source is: in the fields sequence and origin hash. */
export const PROOF_OFFSET: number = HeaderOffset.SEQUENCE;
/** Bytes there: a cookie, or zeros, and the upper half of the sender's node id. */
export const PROOF_SIZE = 16;

/** What a stamp stands on; part of what it authenticates. */
export const StampLabel = {
  ROUTED_MESSAGE_1: 1,
  DIRECT_MESSAGE_1: 2,
  ROUTED_MESSAGE_2: 3,
  DIRECT_MESSAGE_2: 4,
  ROUTED_COOKIE: 5,
  DIRECT_COOKIE: 6,
} as const;
/** One of the numbers of {@link StampLabel}. */
export type StampLabel = (typeof StampLabel)[keyof typeof StampLabel];

/** Bytes in front of the Noise message: label, source, destination, context. */
const PREFIX_SIZE = 28;
/** Longest Noise message that is stamped. A longer one, which nobody sends, counts as unstamped. */
const MAX_STAMPED_MESSAGE = 512;
const NONCE_SIZE = 12;

/** A key that follows from the PSK for one use of the handshake's protection. */
export function guardKey(psk: Uint8Array, use: string): AeadKey {
  const root = keyedBlake2s(psk, "netmesh-handshake-guard-v1");
  const bytes = keyedBlake2s(root, use);
  const key = aeadProvider().create(bytes);
  root.fill(0);
  bytes.fill(0);
  return key;
}

/** Bytes that a tag authenticates, assembled in one reused buffer. */
export class StampedText {
  readonly #buffer = new Uint8Array(PREFIX_SIZE + MAX_STAMPED_MESSAGE);
  /** Views of the buffer by length of the message, made when first needed. */
  readonly #views: (Uint8Array | undefined)[] = [];

  /**
   * Label, routing ids, 16 bytes of context at `contextOffset`, and the Noise message from `start` to `end`. The result is
   * valid until the next call; undefined when the message is too long.
   */
  assemble(
    label: StampLabel,
    sourceId: number,
    destinationId: number,
    context: Uint8Array,
    contextOffset: number,
    bytes: Uint8Array,
    start: number,
    end: number,
  ): Uint8Array | undefined {
    const length = end - start;
    if (length > MAX_STAMPED_MESSAGE) return undefined;
    const buffer = this.#buffer;
    writeU32(buffer, 0, label);
    writeU32(buffer, 4, sourceId);
    writeU32(buffer, 8, destinationId);
    copy(context, contextOffset, buffer, 12, PROOF_SIZE);
    copy(bytes, start, buffer, PREFIX_SIZE, length);
    let view = this.#views[length];
    if (view === undefined) {
      view = buffer.subarray(0, PREFIX_SIZE + length);
      this.#views[length] = view;
    }
    return view;
  }
}

/**
 * Stamps of handshake messages: proof that a member of the mesh made the message, which costs no public-key operation to
 * check (docs/protocol/handshake-protection.md). A stamp is the ChaCha20-Poly1305 tag of the empty text; its nonce is
 * the beginning of the message's ephemeral key. **One ephemeral, one stamp**: a second text under the same nonce would
 * give the one-time key away.
 */
export class MemberStamps {
  readonly #key: AeadKey;
  readonly #text = new StampedText();
  readonly #nonce = new Uint8Array(NONCE_SIZE);
  readonly #tag = new Uint8Array(STAMP_SIZE);

  /** @param psk - the mesh's key, 32 bytes; not kept */
  constructor(psk: Uint8Array) {
    this.#key = guardKey(psk, "stamp");
  }

  /**
   * Stamps the handshake packet at `offset` to the end of `packet`. `context` are the 16 bytes that the stamp covers
   * beside the message: the proof in the header of a first message, the first message's stamp for a second one.
   */
  write(
    packet: Uint8Array,
    offset: number,
    label: StampLabel,
    sourceId: number,
    destinationId: number,
    context: Uint8Array,
    contextOffset: number,
  ): void {
    const message = offset + HEADER_SIZE;
    const text = this.#text.assemble(
      label,
      sourceId,
      destinationId,
      context,
      contextOffset,
      packet,
      message,
      packet.length,
    );
    if (text === undefined) return;
    copy(packet, message, this.#nonce, 0, NONCE_SIZE);
    this.#key.seal(this.#nonce, text, this.#tag, 0, 0);
    packet.set(this.#tag, offset + STAMP_OFFSET);
  }

  /** Whether the packet bears the stamp that {@link write} gives it. Allocates nothing. */
  verify(
    packet: Uint8Array,
    offset: number,
    label: StampLabel,
    sourceId: number,
    destinationId: number,
    context: Uint8Array,
    contextOffset: number,
  ): boolean {
    const message = offset + HEADER_SIZE;
    if (packet.length - message < X25519_KEY_SIZE) return false;
    const text = this.#text.assemble(
      label,
      sourceId,
      destinationId,
      context,
      contextOffset,
      packet,
      message,
      packet.length,
    );
    if (text === undefined) return false;
    copy(packet, message, this.#nonce, 0, NONCE_SIZE);
    copy(packet, offset + STAMP_OFFSET, this.#tag, 0, STAMP_SIZE);
    return this.#key.open(this.#nonce, text, this.#tag, 0, STAMP_SIZE);
  }

  /** Wipes the key. */
  destroy(): void {
    this.#key.destroy();
  }
}

/** A loop, because `set` would take a view of the source. */
function copy(from: Uint8Array, fromOffset: number, to: Uint8Array, toOffset: number, length: number): void {
  for (let i = 0; i < length; i++) to[toOffset + i] = from[fromOffset + i] as number;
}
