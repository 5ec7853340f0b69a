import type { SocketAddress } from "@netmesh/wire";

/**
 * Hash of an address and a claimed node, for counting in buckets: 32 bits, different for each seed, without a new
 * string. Sources that share a bucket share its count, so the seed has to be secret.
 */
export function hashSource({ key }: SocketAddress, sourceId: number, seed: number): number {
  let hash = seed ^ Math.imul(sourceId, 0x85ebca6b);
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0xc2b2ae35);
  return (hash ^ (hash >>> 15)) >>> 0;
}
