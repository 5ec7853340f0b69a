// XXH3-64 with seed 0 and the default secret. The branches by input length are those of the published algorithm.
import { readU32, readU64 } from "./little-endian.ts";

const PRIME32_1 = 0x9e3779b1n;
const PRIME32_2 = 0x85ebca77n;
const PRIME32_3 = 0xc2b2ae3dn;
const PRIME64_1 = 0x9e3779b185ebca87n;
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME64_3 = 0x165667b19e3779f9n;
const PRIME64_4 = 0x85ebca77c2b2ae63n;
const PRIME64_5 = 0x27d4eb2f165667c5n;
const MIX_1 = 0x165667919e3779f9n;
const MIX_2 = 0x9fb21c651e98df25n;

const SECRET = fromHex(
  "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f" +
    "cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c" +
    "3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8" +
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364" +
    "eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e" +
    "2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e",
);

const STRIPE_SIZE = 64;
const LANES = 8;
const LANE_SIZE = STRIPE_SIZE / LANES;
const STRIPES_PER_BLOCK = (SECRET.length - STRIPE_SIZE) / LANE_SIZE;
const BLOCK_SIZE = STRIPES_PER_BLOCK * STRIPE_SIZE;

/** XXH3-64 of `bytes` with seed 0, as a u64 (§10). Any length; meant for names and keys, not for bulk data. */
export function xxh3(bytes: Uint8Array): bigint {
  const { length } = bytes;
  if (length === 0) return avalancheXxh64(secret(56) ^ secret(64));
  if (length <= 3) return hash1to3(bytes);
  if (length <= 8) return hash4to8(bytes);
  if (length <= 16) return hash9to16(bytes);
  if (length <= 128) return hash17to128(bytes);
  if (length <= 240) return hash129to240(bytes);
  return hashLong(bytes);
}

function hash1to3(bytes: Uint8Array): bigint {
  const { length } = bytes;
  const first = bytes[0] as number;
  const middle = bytes[length >> 1] as number;
  const last = bytes[length - 1] as number;
  const combined = ((first << 16) | (middle << 24) | last | (length << 8)) >>> 0;
  const flip = (readU32(SECRET, 0) ^ readU32(SECRET, 4)) >>> 0;
  return avalancheXxh64(BigInt((combined ^ flip) >>> 0));
}

function hash4to8(bytes: Uint8Array): bigint {
  const { length } = bytes;
  const input = BigInt(readU32(bytes, length - 4)) + (BigInt(readU32(bytes, 0)) << 32n);
  let h = input ^ secret(8) ^ secret(16);
  h ^= rotateLeft(h, 49n) ^ rotateLeft(h, 24n);
  h = u64(h * MIX_2);
  h ^= (h >> 35n) + BigInt(length);
  h = u64(h * MIX_2);
  return h ^ (h >> 28n);
}

function hash9to16(bytes: Uint8Array): bigint {
  const { length } = bytes;
  const low = readU64(bytes, 0) ^ secret(24) ^ secret(32);
  const high = readU64(bytes, length - 8) ^ secret(40) ^ secret(48);
  return avalanche(u64(BigInt(length) + swapBytes(low) + high + foldProduct(low, high)));
}

function hash17to128(bytes: Uint8Array): bigint {
  const { length } = bytes;
  let sum = BigInt(length) * PRIME64_1;
  for (let i = (length - 1) >> 5; i >= 0; i--) {
    sum += mix16(bytes, 16 * i, 32 * i) + mix16(bytes, length - 16 * (i + 1), 32 * i + 16);
  }
  return avalanche(u64(sum));
}

function hash129to240(bytes: Uint8Array): bigint {
  const { length } = bytes;
  let sum = BigInt(length) * PRIME64_1;
  for (let i = 0; i < 8; i++) sum += mix16(bytes, 16 * i, 16 * i);
  sum = avalanche(u64(sum));
  for (let i = 8; i < length >> 4; i++) sum += mix16(bytes, 16 * i, 16 * (i - 8) + 3);
  sum += mix16(bytes, length - 16, 119);
  return avalanche(u64(sum));
}

function hashLong(bytes: Uint8Array): bigint {
  const { length } = bytes;
  const lanes = new BigUint64Array([
    PRIME32_3,
    PRIME64_1,
    PRIME64_2,
    PRIME64_3,
    PRIME64_4,
    PRIME32_2,
    PRIME64_5,
    PRIME32_1,
  ]);
  const fullBlocks = Math.floor((length - 1) / BLOCK_SIZE);
  for (let block = 0; block < fullBlocks; block++) {
    for (let stripe = 0; stripe < STRIPES_PER_BLOCK; stripe++) {
      accumulate(lanes, bytes, block * BLOCK_SIZE + stripe * STRIPE_SIZE, stripe * LANE_SIZE);
    }
    scramble(lanes);
  }
  const rest = fullBlocks * BLOCK_SIZE;
  const stripes = Math.floor((length - 1 - rest) / STRIPE_SIZE);
  for (let stripe = 0; stripe < stripes; stripe++) {
    accumulate(lanes, bytes, rest + stripe * STRIPE_SIZE, stripe * LANE_SIZE);
  }
  accumulate(lanes, bytes, length - STRIPE_SIZE, SECRET.length - STRIPE_SIZE - 7);

  let sum = BigInt(length) * PRIME64_1;
  for (let i = 0; i < LANES; i += 2) {
    sum += foldProduct(lane(lanes, i) ^ secret(11 + 8 * i), lane(lanes, i + 1) ^ secret(19 + 8 * i));
  }
  return avalanche(u64(sum));
}

function accumulate(lanes: BigUint64Array, bytes: Uint8Array, offset: number, secretOffset: number): void {
  for (let i = 0; i < LANES; i++) {
    const data = readU64(bytes, offset + i * LANE_SIZE);
    const keyed = data ^ secret(secretOffset + i * LANE_SIZE);
    // Stores into the array reduce modulo 2^64.
    lanes[i ^ 1] = lane(lanes, i ^ 1) + data;
    lanes[i] = lane(lanes, i) + BigInt.asUintN(32, keyed) * (keyed >> 32n);
  }
}

function scramble(lanes: BigUint64Array): void {
  for (let i = 0; i < LANES; i++) {
    const value = lane(lanes, i);
    lanes[i] = (value ^ (value >> 47n) ^ secret(SECRET.length - STRIPE_SIZE + i * LANE_SIZE)) * PRIME32_1;
  }
}

function lane(lanes: BigUint64Array, i: number): bigint {
  return lanes[i] as bigint;
}

function mix16(bytes: Uint8Array, offset: number, secretOffset: number): bigint {
  return foldProduct(
    readU64(bytes, offset) ^ secret(secretOffset),
    readU64(bytes, offset + 8) ^ secret(secretOffset + 8),
  );
}

function secret(offset: number): bigint {
  return readU64(SECRET, offset);
}

function foldProduct(a: bigint, b: bigint): bigint {
  const product = a * b;
  return u64(product) ^ (product >> 64n);
}

function avalanche(x: bigint): bigint {
  let h = u64((x ^ (x >> 37n)) * MIX_1);
  h ^= h >> 32n;
  return h;
}

function avalancheXxh64(x: bigint): bigint {
  let h = u64((x ^ (x >> 33n)) * PRIME64_2);
  h = u64((h ^ (h >> 29n)) * PRIME64_3);
  return h ^ (h >> 32n);
}

function rotateLeft(x: bigint, by: bigint): bigint {
  return u64(x << by) | (x >> (64n - by));
}

function swapBytes(x: bigint): bigint {
  let swapped = 0n;
  for (let i = 0n; i < 64n; i += 8n) swapped = (swapped << 8n) | ((x >> i) & 0xffn);
  return swapped;
}

function u64(x: bigint): bigint {
  return BigInt.asUintN(64, x);
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) =>
    Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16),
  );
}
