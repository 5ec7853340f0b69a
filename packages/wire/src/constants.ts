/** First two bytes of a Net header, as a little-endian u16: `45 4E` on the wire (§2). */
export const MAGIC = 0x4e45;
/** The only wire version that exists (§2). */
export const VERSION = 1;

/** Bytes of the Net header (§3). */
export const HEADER_SIZE = 68;
/** Bytes of the Poly1305 tag behind every ciphertext (§2). */
export const TAG_SIZE = 16;
/** Bytes of the nonce inside the header: u32 prefix, u64 counter (§3). */
export const NONCE_SIZE = 12;
/** Bytes of the additional authenticated data: the header without its nonce (§3.2). */
export const AAD_SIZE: number = HEADER_SIZE - NONCE_SIZE;
/** Bytes that sealing adds to a plaintext: header and tag (§2). */
export const PACKET_OVERHEAD: number = HEADER_SIZE + TAG_SIZE;

/** Largest unrouted packet in bytes: header, ciphertext and tag (§2). */
export const MAX_PACKET_SIZE = 8192;
/** Largest plaintext in bytes (§2). */
export const MAX_PAYLOAD_SIZE: number = MAX_PACKET_SIZE - PACKET_OVERHEAD;
/** Bytes of the length in front of every event (§4). */
export const EVENT_LENGTH_PREFIX = 4;
/** Most events that one packet can frame (§2). */
export const MAX_EVENTS_PER_PACKET: number = Math.floor(MAX_PAYLOAD_SIZE / EVENT_LENGTH_PREFIX);

/** First two bytes of a routing header, as a little-endian u16: `52 54` on the wire (§7). */
export const ROUTING_MAGIC = 0x5452;
/** Bytes of the routing header (§7). */
export const ROUTING_HEADER_SIZE = 18;
/** Shortest datagram in bytes that can be a routed packet (§2). */
export const ROUTED_MIN_SIZE: number = ROUTING_HEADER_SIZE + HEADER_SIZE;
/** Largest plaintext in bytes of a packet that is sent routed: Net receives into 8192-byte buffers (§7). */
export const MAX_ROUTED_PAYLOAD_SIZE: number = MAX_PAYLOAD_SIZE - ROUTING_HEADER_SIZE;
/** Largest datagram in bytes that a receiver must accept (§7). */
export const MAX_DATAGRAM_SIZE: number = MAX_PACKET_SIZE + ROUTING_HEADER_SIZE;

/** Bytes of the pingwave that mesh nodes exchange (§11.1). */
export const PINGWAVE_SIZE = 72;
/** Bytes of the compact pingwave, which no mesh node sends (§11.2). */
export const BASIC_PINGWAVE_SIZE = 24;

/** First two bytes of a keep-alive, as a little-endian u16: `50 48` on the wire (§9.5). */
export const KEEP_ALIVE_MAGIC = 0x4850;
/** Bytes of a keep-alive datagram (§9.5). */
export const KEEP_ALIVE_SIZE = 14;

/** Stream id of control packets (§2). */
export const CONTROL_STREAM_ID = 0xffff_ffff_ffff_ffffn;
/** Initial ttl of routed data (§7). */
export const DATA_TTL = 8;
/** Initial ttl of routed handshakes (§7). */
export const HANDSHAKE_TTL = 16;

/** Byte offset of every Net header field (§3). */
export const HeaderOffset = {
  MAGIC: 0,
  VERSION: 2,
  FLAGS: 3,
  PRIORITY: 4,
  HOP_TTL: 5,
  HOP_COUNT: 6,
  FRAG_FLAGS: 7,
  SUBPROTOCOL_ID: 8,
  CHANNEL_HASH: 10,
  NONCE_PREFIX: 12,
  COUNTER: 16,
  SESSION_ID: 24,
  STREAM_ID: 32,
  SEQUENCE: 40,
  ORIGIN_HASH: 48,
  SUBNET_ID: 56,
  FRAGMENT_ID: 60,
  FRAGMENT_OFFSET: 62,
  PAYLOAD_LENGTH: 64,
  EVENT_COUNT: 66,
} as const;

/** Bits of the header's flags byte; the two high bits are reserved and sent as 0 (§3.1). */
export const PacketFlags = {
  /** The sender runs the stream in reliable mode. */
  RELIABLE: 0x01,
  /** Defined, never set. */
  NACK: 0x02,
  /** Defined, never set on Net headers. */
  PRIORITY: 0x04,
  /** Defined, never set by Net. */
  FIN: 0x08,
  /** The payload is a raw Noise message. */
  HANDSHAKE: 0x10,
  /** The payload is a bare tag. */
  HEARTBEAT: 0x20,
} as const;

/** The 16-bit subprotocol ids (§8). */
export const Subprotocol = {
  EVENTS: 0x0000,
  CAUSAL: 0x0400,
  SNAPSHOT: 0x0401,
  MIGRATION: 0x0500,
  NEGOTIATION: 0x0600,
  CONTINUITY: 0x0700,
  FORK_ANNOUNCE: 0x0701,
  CONTINUITY_PROOF: 0x0702,
  PARTITION: 0x0800,
  RECONCILE: 0x0801,
  REPLICA_GROUP: 0x0900,
  CHANNEL_MEMBERSHIP: 0x0a00,
  STREAM_WINDOW: 0x0b00,
  STREAM_NACK: 0x0b01,
  STREAM_RESET: 0x0b02,
  CAPABILITY_ANNOUNCEMENT: 0x0c00,
  REFLEX: 0x0d00,
  RENDEZVOUS: 0x0d01,
  LOG_REPLICATION: 0x0e00,
  FEDERATED_QUERY: 0x0f00,
  FOLD: 0x1000,
  BLOB_TRANSFER: 0x1100,
} as const;

/**
 * Subprotocol id, from the range for third parties (§8), of messages between netmesh nodes that have agreed on them in
 * the handshake. No node of Net is sent any.
 */
export const NETMESH_CONTROL = 0x6e6d;
