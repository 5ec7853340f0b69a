/**
 * Every byte layout of the Net 0.27 wire protocol, as flyweight readers and writers.
 * @packageDocumentation
 */

// Sizes, magics, ids and errors

export * from "./constants.ts";
export { type OffendingValue, WireError, type WireErrorCode } from "./errors.ts";

// Integers

export { readU16, readU32, readU64, writeU16, writeU32, writeU64 } from "./little-endian.ts";
export { assertU64, high32, joinU64, low32, MAX_U64, u64ToNumber } from "./u64.ts";

// Datagrams and packets

export { writeAad } from "./aad.ts";
export { classifyDatagram, DatagramKind } from "./classify.ts";
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
export { decodeHeader, encodeHeader, type HeaderFields } from "./header-fields.ts";
export { HeaderVerdict, isValidLength, validateHeader } from "./header-validation.ts";
export { NetHeader } from "./net-header.ts";
export { hasFlags, withFlags, withoutFlags } from "./packet-flags.ts";

// Capabilities

export {
  type AnnouncedCapabilities,
  announcementSignedBytes,
  type CapabilityAnnouncement,
  capabilitiesJson,
  decodeCapabilityAnnouncement,
  encodeCapabilityAnnouncement,
  MAX_ALLOW_LIST,
} from "./capability/capability-announcement.ts";
export {
  assertUserTag,
  type CapabilityTag,
  parseTag,
  RESERVED_TAG_PREFIXES,
  reservedPrefix,
  type TagAxis,
  tagKey,
} from "./capability/capability-tag.ts";
export { compareUtf8 } from "./capability/exact-json.ts";

// Stream control

export { decodeNack, encodeNack, missingSequences, NACK_SIZE, type Nack } from "./nack.ts";
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

// Path MTU

export {
  decodeIdentityProof,
  encodeIdentityProof,
  IDENTITY_PROOF_KIND,
  IDENTITY_PROOF_SIZE,
  type IdentityProof,
} from "./identity-proof.ts";
export {
  decodeNodeLookup,
  encodeNodeLookup,
  NODE_LOOKUP_SIZE,
  type NodeLookup,
  NodeLookupKind,
  nodeLookupSignedBytes,
} from "./node-lookup.ts";
export {
  decodePacketPart,
  encodePacketPart,
  MAX_PACKET_PARTS,
  MESSAGE_PART_FLAG,
  PACKET_PART_DATA_SIZE,
  PACKET_PART_HEAD_SIZE,
  PACKET_PART_KIND,
  type PacketPart,
  type PartedPacket,
  packetPartCount,
} from "./packet-part.ts";
export {
  decodePathPing,
  encodePathPing,
  encodeSealedPingwave,
  PATH_PING_SIZE,
  type PathPing,
  PathPingKind,
  SEALED_PINGWAVE_KIND,
  SEALED_PINGWAVE_SIZE,
} from "./path-ping.ts";
export {
  decodePathProbe,
  encodePathProbe,
  encodePathProbeAnswer,
  MAX_PATH_PROBE_SIZE,
  MIN_PATH_PROBE_SIZE,
  PATH_PROBE_ANSWER_SIZE,
  type PathProbe,
  PathProbeKind,
} from "./path-probe.ts";

// Key renewal

export {
  decodeRekey,
  encodeRekey,
  REKEY_PUBLIC_KEY_SIZE,
  REKEY_REQUEST_SIZE,
  REKEY_SIZE,
  type RekeyExchange,
  RekeyKind,
  type RekeyMessage,
  type RekeyRequest,
} from "./rekey.ts";

// Channels

export {
  assertChannelName,
  channelDepth,
  channelHash,
  channelWireHash,
  isChannelName,
  isChannelPrefix,
  MAX_CHANNEL_NAME_SIZE,
} from "./channel-name.ts";
export {
  type ChannelPosition,
  decodeMembership,
  encodeMembership,
  type MembershipAck,
  type MembershipMessage,
  MembershipReason,
  type PositionRequest,
  type SubscribeMessage,
  type UnsubscribeMessage,
} from "./membership.ts";

// Stream and node identifiers

export { GRAPH_ID_SIZE, graphId, isUndiscoverable, routingId } from "./node-id.ts";
export {
  publishStreamId,
  shardOfBytes,
  shardOfStream,
  streamIdFromBytes,
  streamIdFromKey,
} from "./stream-id.ts";
export { xxh3 } from "./xxh3.ts";

// Discovery

export {
  type BasicPingwave,
  decodeBasicPingwave,
  encodeBasicPingwave,
  forwardBasicPingwave,
} from "./basic-pingwave.ts";
export {
  type AdCapabilities,
  type CapabilityAd,
  decodeCapabilityAd,
  encodeCapabilityAd,
} from "./capability-ad.ts";
export {
  decodeManifest,
  encodeManifest,
  type ManifestConflict,
  type ManifestEntry,
  type Negotiation,
  negotiateManifests,
  type SubprotocolVersion,
  subprotocolTag,
} from "./manifest.ts";
export {
  decodePingwave,
  encodePingwave,
  isPingwave,
  MAX_PINGWAVE_HOPS,
  memoryTier,
  NodeHealth,
  PINGWAVE_TTL,
  type PingwaveFields,
  PingwaveView,
  writePingwave,
} from "./pingwave.ts";

// NAT traversal

export {
  ADDRESS_BLOCK_SIZE,
  type AddressBlock,
  readAddressBlock,
  writeAddressBlock,
} from "./address-block.ts";
export { decodeKeepAlive, encodeKeepAlive, type KeepAlive } from "./keep-alive.ts";
export {
  decodeReflex,
  encodeReflex,
  type ReflexMessage,
  type ReflexRequest,
  type ReflexResponse,
} from "./reflex.ts";
export {
  decodeRendezvous,
  encodeRendezvous,
  type PunchAck,
  type PunchCandidates,
  type PunchIntroduce,
  type PunchReject,
  type PunchRequest,
  type RendezvousMessage,
} from "./rendezvous.ts";

// Logs and blobs

export {
  CONTENT_HASH_SIZE,
  decodeTransferHeader,
  decodeTransferRequest,
  encodeTransferHeader,
  encodeTransferRequest,
  isTransferStreamId,
  MAX_TRANSFER_CHUNK,
  MAX_TRANSFER_SIZE,
  type TransferHeader,
  transferStreamId,
} from "./blob-transfer.ts";
// Maps by id, and bytes
export { copyBytes } from "./copy-bytes.ts";
export { DatagramBatch } from "./datagram-batch.ts";
export {
  decodeLogMessage,
  effectiveLogChunk,
  encodeLogMessage,
  LOG_CHANNEL_SIZE,
  type LogHeartbeat,
  type LogMessage,
  type LogNack,
  LogNackCode,
  type LogRecord,
  type LogRequest,
  LogRequestClass,
  type LogResponse,
  LogRole,
  MAX_LOG_CHUNK,
} from "./log-replication.ts";
// Routing header
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
// Addresses and batches of datagrams
export {
  AddressBook,
  DEFAULT_ADDRESS_BOOK_CAPACITY,
  type HostAndPort,
  SocketAddress,
} from "./socket-address.ts";
export { hashU64, U64Map } from "./u64-map.ts";
