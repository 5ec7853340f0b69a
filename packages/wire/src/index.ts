/**
 * Every byte layout of the Net 0.27 wire protocol, as flyweight readers and writers.
 * @packageDocumentation
 */

// Datagrams and packets
export { classifyDatagram, DatagramKind } from "./classify.ts";
// Sizes, magics, ids and errors
export * from "./constants.ts";
export { DatagramBatch } from "./datagram-batch.ts";
export { type OffendingValue, WireError, type WireErrorCode } from "./errors.ts";
export {
  decodeEventFrames,
  EventFrameReader,
  encodeEventFrames,
  eventFramesSize,
  writeEventFrame,
} from "./event-frames.ts";
export {
  type DecodedHandshakePayload,
  decodeHandshakePayload,
  encodeHandshakePayload,
  type HandshakePayload,
  PeerFeature,
} from "./handshake-payload.ts";
// Integers
export { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./little-endian.ts";
export {
  decodeHeader,
  encodeHeader,
  type HeaderFields,
  HeaderVerdict,
  isValidLength,
  NetHeader,
  validateHeader,
  writeAad,
} from "./net-header.ts";
export { hasFlags, withFlags, withoutFlags } from "./packet-flags.ts";
// Routed packets
export {
  decodeRoutingHeader,
  encodeRoutingHeader,
  forwardInPlace,
  isRoutingHeader,
  RoutingFlags,
  RoutingHeader,
  type RoutingHeaderFields,
  writeRoutingHeader,
} from "./routing-header.ts";
// Addresses and batches
export {
  AddressBook,
  DEFAULT_ADDRESS_BOOK_CAPACITY,
  type HostAndPort,
  SocketAddress,
} from "./socket-address.ts";
// Stream control
export {
  decodeStreamNack,
  decodeStreamReset,
  decodeStreamWindow,
  encodeStreamNack,
  encodeStreamReset,
  encodeStreamWindow,
  STREAM_NACK_SIZE,
  STREAM_RESET_SIZE,
  STREAM_WINDOW_SIZE,
  type StreamNack,
  type StreamReset,
  type StreamWindow,
} from "./stream-control.ts";
export { assertU64, high32, joinU64, low32, MAX_U64, u64ToNumber } from "./u64.ts";
// Maps by id
export { hashU64, U64Map } from "./u64-map.ts";
