/**
 * Packet slots and builders: one counter per key, whoever seals.
 * @packageDocumentation
 */

// Pools of builders
export { BuilderGuard } from "./builder-guard.ts";
// Several threads
export { DispatchOrder } from "./dispatch-order.ts";
// Errors
export { PoolError, type PoolErrorCode } from "./errors.ts";
export type { PostTarget } from "./key-grant.ts";
export {
  epochCounter,
  LocalCounter,
  MAX_EPOCH_PACKETS,
  MAX_RESERVED_COUNTERS,
  type NonceCounter,
  SharedCounter,
  type SharedCounterOptions,
} from "./nonce-counter.ts";
export {
  acceptOpening,
  commitOpened,
  grantOpening,
  type OpeningGrant,
  OpeningKey,
} from "./opening-key.ts";
// Building packets
export {
  HEARTBEAT_SIZE,
  PacketBuilder,
  type PacketFields,
  packetFields,
  writeHandshakePacket,
} from "./packet-builder.ts";
export { PacketPool, type PacketPoolOptions } from "./packet-pool.ts";
// Memory for packets
export { PACKET_OFFSET, PacketSlot } from "./packet-slot.ts";
export { MAX_POOL_SIZE } from "./pool-size.ts";
export { SealingKey, type SealingKeyOptions } from "./sealing-key.ts";
export { acceptSealing, type SealingGrant, SealingShare, type SealingShareOptions } from "./sealing-share.ts";
export { DEFAULT_SLOT_COUNT, DEFAULT_SLOT_SIZE, SlotRing } from "./slot-ring.ts";
export { type CacheOwner, ThreadCaches } from "./thread-caches.ts";
export {
  DEFAULT_LOCAL_CAPACITY,
  DEFAULT_POOL_SIZE,
  ThreadLocalPool,
  type ThreadLocalPoolOptions,
} from "./thread-local-pool.ts";
