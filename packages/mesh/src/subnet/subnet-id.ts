import { MeshError } from "../errors.ts";

/**
 * A part of the mesh: a u32 of up to four levels of 8 bits, the most significant first (spec/mesh.md §13). 0 is everybody's
 * ancestor.
 */
export type SubnetId = number;

/** The subnet of nodes that are in no other. */
export const GLOBAL_SUBNET: SubnetId = 0;
/** Most levels of a subnet id. */
export const MAX_SUBNET_LEVELS = 4;

/** The id with these levels, 1 to 4 of 0..255, none for {@link GLOBAL_SUBNET}. Throws `invalid-argument`. */
export function subnetId(...levels: readonly number[]): SubnetId {
  const isFit = levels.every((level) => Number.isInteger(level) && level >= 0 && level <= 0xff);
  if (!isFit || levels.length > MAX_SUBNET_LEVELS) {
    throw new MeshError(
      "invalid-argument",
      "a subnet id has at most 4 levels of 0 to 255",
      MAX_SUBNET_LEVELS,
    );
  }
  let id = 0;
  levels.forEach((level, i) => {
    id |= level << (24 - 8 * i);
  });
  return id >>> 0;
}

/** The id of `"1.2.3"` or `"global"`; spaces around it do not count. Throws `invalid-argument`. */
export function parseSubnetId(text: string): SubnetId {
  const trimmed = text.trim();
  if (trimmed.toLowerCase() === "global") return GLOBAL_SUBNET;
  if (!/^\d{1,3}(?:\.\d{1,3}){0,3}$/.test(trimmed)) {
    throw new MeshError("invalid-argument", `not a subnet id: ${JSON.stringify(text)}`);
  }
  return subnetId(...trimmed.split(".").map(Number));
}

/** The text that {@link parseSubnetId} reads: levels down to the last that is not 0. */
export function formatSubnetId(id: SubnetId): string {
  const depth = subnetDepth(id);
  if (depth === 0) return "global";
  return Array.from({ length: depth }, (_, i) => (id >>> (24 - 8 * i)) & 0xff).join(".");
}

/** Number of the last level that is not 0, from 1; 0 for {@link GLOBAL_SUBNET}. */
export function subnetDepth(id: SubnetId): number {
  if ((id & 0xff) !== 0) return 4;
  if ((id & 0xffff) !== 0) return 3;
  if ((id & 0xff_ffff) !== 0) return 2;
  return id === 0 ? 0 : 1;
}

/** The subnet one level up; that of {@link GLOBAL_SUBNET} is itself. */
export function subnetParent(id: SubnetId): SubnetId {
  const depth = subnetDepth(id);
  return depth === 0 ? GLOBAL_SUBNET : (id & maskOf(depth - 1)) >>> 0;
}

/** Whether `id` lies in `ancestor`, which it does in itself. */
export function isSubnetAncestor(ancestor: SubnetId, id: SubnetId): boolean {
  return (id & maskOf(subnetDepth(ancestor))) >>> 0 === ancestor;
}

/** Whether two different subnets of one depth lie in the same subnet one level up. */
export function areSubnetSiblings(a: SubnetId, b: SubnetId): boolean {
  return a !== b && subnetDepth(a) === subnetDepth(b) && subnetParent(a) === subnetParent(b);
}

/** Throws `invalid-argument` unless the value is a u32. */
export function requireSubnetId(id: unknown): asserts id is SubnetId {
  if (!Number.isInteger(id) || (id as number) < 0 || (id as number) > 0xffff_ffff) {
    throw new MeshError("invalid-argument", "a subnet id is an integer from 0 to 2^32 - 1", 0xffff_ffff);
  }
}

function maskOf(depth: number): number {
  return depth === 0 ? 0 : (0xffff_ffff << (32 - 8 * depth)) >>> 0;
}
