import { Identity, keyedBlake2s } from "@netmesh/crypto";
import { xxh3 } from "@netmesh/wire";
import { invalidConfig } from "./group-error.ts";

/** Bytes of a group's seed. */
export const GROUP_SEED_SIZE = 32;
/** Members that a group can have: an index is one byte. */
export const MAX_GROUP_MEMBERS = 256;

const LABEL = "net-replica-v1";

/** The key of a replica or standby: the same on every node that knows the seed (§25). Throws `invalid-config`. */
export function replicaIdentity(groupSeed: Uint8Array, index: number): Identity {
  requireGroupSeed(groupSeed);
  if (!(Number.isInteger(index) && index >= 0 && index < MAX_GROUP_MEMBERS)) {
    throw invalidConfig(`a member's index is 0..255, got ${index}`);
  }
  const data = new Uint8Array(GROUP_SEED_SIZE + 1);
  data.set(groupSeed);
  data[GROUP_SEED_SIZE] = index;
  const seed = keyedBlake2s(LABEL, data);
  const identity = Identity.fromSeed(seed);
  seed.fill(0);
  data.fill(0);
  return identity;
}

/** The 32-bit id of the group with that seed (§25). Throws `invalid-config`. */
export function replicaGroupId(groupSeed: Uint8Array): number {
  requireGroupSeed(groupSeed);
  return Number(xxh3(groupSeed) & 0xffff_ffffn);
}

/** Throws `invalid-config` unless it is 32 bytes. */
export function requireGroupSeed(groupSeed: Uint8Array): void {
  if (groupSeed instanceof Uint8Array && groupSeed.length === GROUP_SEED_SIZE) return;
  throw invalidConfig(`the seed of a group is ${GROUP_SEED_SIZE} bytes`);
}

/** Throws `invalid-config` unless a group of that kind can have so many members. */
export function requireMemberCount(count: number, least: number): void {
  if (Number.isInteger(count) && count >= least && count <= MAX_GROUP_MEMBERS) return;
  throw invalidConfig(`the members must be ${least}..${MAX_GROUP_MEMBERS}, got ${count}`);
}
