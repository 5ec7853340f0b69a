import {
  HEADER_SIZE,
  HeaderVerdict,
  NetHeader,
  type SocketAddress,
  TAG_SIZE,
  validateHeader,
} from "@netmesh/wire";

/** A received packet whose header is valid (transport §4). Header and payload are views of the datagram. */
export class ParsedPacket {
  readonly header: NetHeader;
  /** Everything after the header, whatever its length field says. */
  readonly payload: Uint8Array;
  readonly source: SocketAddress;

  constructor(data: Uint8Array, source: SocketAddress) {
    this.header = new NetHeader().wrap(data);
    this.payload = data.subarray(HEADER_SIZE);
    this.source = source;
  }

  /** What the header announces: the plaintext length and 16 bytes of tag. */
  get expectedPayloadLength(): number {
    return this.header.payloadLength + TAG_SIZE;
  }

  /**
   * Whether the payload is as long as announced. Data and control packets must pass; a heartbeat's
   * payload is 16 bytes, a handshake's is the whole message without a tag.
   */
  get isValidLength(): boolean {
    return this.payload.length === this.expectedPayloadLength;
  }
}

/**
 * The packet in a datagram, `undefined` when it is too short or its header is not valid (wire §3.4).
 * Copies nothing: the packet keeps the datagram alive.
 */
export function parsePacket(data: Uint8Array, source: SocketAddress): ParsedPacket | undefined {
  if (validateHeader(data, 0, data.length) !== HeaderVerdict.OK) return undefined;
  return new ParsedPacket(data, source);
}
