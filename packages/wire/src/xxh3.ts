// XXH3-64 with seed 0 and the default secret. The branches by input length are those of the published algorithm. Up to 16 bytes
// are hashed with bigints; beyond, every u64 is two 32-bit halves, since causal chains hash whole payloads.
import { readU32, readU64 } from "./little-endian.ts";
import { joinU64 } from "./u64.ts";

const PRIME32_1 = 0x9e3779b1;
const PRIME32_2 = 0x85ebca77;
const PRIME32_3 = 0xc2b2ae3d;
const PRIME64_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME64_3 = 0x165667b19e3779f9n;
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

const MAX_U32 = 0xffff_ffff;
const U32_RANGE = 2 ** 32;
const LO = 0;
const HI = 1;
const PRIME64_1_LO = 0x85ebca87;
const MIX_1_LO = 0x9e3779f9;
const MIX_1_HI = 0x16566791;

/** The u32 of the secret at every offset. */
const SECRET_HALVES = Int32Array.from({ length: SECRET.length - 3 }, (_, offset) => readU32(SECRET, offset));
/** What the lanes start from: low and high half of each. */
const FIRST_LANES = Int32Array.of(
  ...[PRIME32_3, 0, 0x85ebca87, 0x9e3779b1, 0x27d4eb4f, 0xc2b2ae3d, 0x9e3779f9, 0x165667b1],
  ...[0xc2b2ae63, 0x85ebca77, PRIME32_2, 0, 0x165667c5, 0x27d4eb2f, PRIME32_1, 0],
);
/** Low and high half of each lane of the long input under way. */
const lanes = new Int32Array(2 * LANES);
const sum = new Int32Array(2);

/** XXH3-64 of `bytes` with seed 0, as a u64 (§10). Any length. */
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
  startSum(length);
  for (let i = (length - 1) >> 5; i >= 0; i--) {
    addMix16(bytes, 16 * i, 32 * i);
    addMix16(bytes, length - 16 * (i + 1), 32 * i + 16);
  }
  avalancheSum();
  return sumValue();
}

function hash129to240(bytes: Uint8Array): bigint {
  const { length } = bytes;
  startSum(length);
  for (let i = 0; i < 8; i++) addMix16(bytes, 16 * i, 16 * i);
  avalancheSum();
  for (let i = 8; i < length >> 4; i++) addMix16(bytes, 16 * i, 16 * (i - 8) + 3);
  addMix16(bytes, length - 16, 119);
  avalancheSum();
  return sumValue();
}

function hashLong(bytes: Uint8Array): bigint {
  const { length } = bytes;
  lanes.set(FIRST_LANES);
  const fullBlocks = Math.floor((length - 1) / BLOCK_SIZE);
  for (let block = 0; block < fullBlocks; block++) {
    for (let stripe = 0; stripe < STRIPES_PER_BLOCK; stripe++) {
      accumulate(bytes, block * BLOCK_SIZE + stripe * STRIPE_SIZE, stripe * LANE_SIZE);
    }
    scramble();
  }
  const rest = fullBlocks * BLOCK_SIZE;
  const stripes = Math.floor((length - 1 - rest) / STRIPE_SIZE);
  for (let stripe = 0; stripe < stripes; stripe++) {
    accumulate(bytes, rest + stripe * STRIPE_SIZE, stripe * LANE_SIZE);
  }
  accumulate(bytes, length - STRIPE_SIZE, SECRET.length - STRIPE_SIZE - 7);

  startSum(length);
  for (let i = 0; i < LANES; i += 2) {
    const key = 11 + 8 * i;
    addFoldedProduct(
      laneHalf(2 * i) ^ secretHalf(key),
      laneHalf(2 * i + 1) ^ secretHalf(key + 4),
      laneHalf(2 * i + 2) ^ secretHalf(key + 8),
      laneHalf(2 * i + 3) ^ secretHalf(key + 12),
    );
  }
  avalancheSum();
  return sumValue();
}

function accumulate(bytes: Uint8Array, offset: number, secretOffset: number): void {
  for (let i = 0; i < LANES; i++) {
    const at = offset + i * LANE_SIZE;
    const lo = readU32(bytes, at);
    const hi = readU32(bytes, at + 4);
    addToLane(i ^ 1, lo, hi);
    const keyLo = lo ^ secretHalf(secretOffset + i * LANE_SIZE);
    const keyHi = hi ^ secretHalf(secretOffset + i * LANE_SIZE + 4);
    addToLane(i, Math.imul(keyLo, keyHi), multiplyHigh(keyLo, keyHi));
  }
}

function scramble(): void {
  for (let i = 0; i < LANES; i++) {
    const hi = laneHalf(2 * i + 1);
    const at = SECRET.length - STRIPE_SIZE + i * LANE_SIZE;
    const lo = laneHalf(2 * i) ^ (hi >>> 15) ^ secretHalf(at);
    lanes[2 * i] = Math.imul(lo, PRIME32_1);
    lanes[2 * i + 1] = multiplyHigh(lo, PRIME32_1) + Math.imul(hi ^ secretHalf(at + 4), PRIME32_1);
  }
}

function addToLane(i: number, lo: number, hi: number): void {
  const sum = (laneHalf(2 * i) >>> 0) + (lo >>> 0);
  lanes[2 * i] = sum;
  lanes[2 * i + 1] = laneHalf(2 * i + 1) + hi + (sum > MAX_U32 ? 1 : 0);
}

function laneHalf(i: number): number {
  return lanes[i] as number;
}

/** Four bytes of the secret. */
function secretHalf(offset: number): number {
  return SECRET_HALVES[offset] as number;
}

// The sum that the longer inputs build up: one u64, in place because a function returns only one half.

/** Sets it to the length times the first prime. */
function startSum(length: number): void {
  sum[LO] = Math.imul(length, PRIME64_1_LO);
  sum[HI] = multiplyHigh(length, PRIME64_1_LO) + Math.imul(length, PRIME32_1);
}

/** Adds 16 bytes of input, keyed with 16 of the secret and folded. */
function addMix16(bytes: Uint8Array, offset: number, key: number): void {
  addFoldedProduct(
    readU32(bytes, offset) ^ secretHalf(key),
    readU32(bytes, offset + 4) ^ secretHalf(key + 4),
    readU32(bytes, offset + 8) ^ secretHalf(key + 8),
    readU32(bytes, offset + 12) ^ secretHalf(key + 12),
  );
}

/** Adds the exclusive or of both halves of the 128-bit product of two u64. */
function addFoldedProduct(aLo: number, aHi: number, bLo: number, bHi: number): void {
  // 32-bit digits of the product, by long multiplication. Sums of few of them are exact in a double.
  const second = multiplyHigh(aLo, bLo) + (Math.imul(aLo, bHi) >>> 0) + (Math.imul(aHi, bLo) >>> 0);
  const third =
    multiplyHigh(aLo, bHi) +
    multiplyHigh(aHi, bLo) +
    (Math.imul(aHi, bHi) >>> 0) +
    Math.floor(second / U32_RANGE);
  const fourth = multiplyHigh(aHi, bHi) + Math.floor(third / U32_RANGE);
  const lo = (Math.imul(aLo, bLo) ^ third) >>> 0;
  const total = ((sum[LO] as number) >>> 0) + lo;
  sum[LO] = total;
  sum[HI] = (sum[HI] as number) + ((second ^ fourth) | 0) + (total > MAX_U32 ? 1 : 0);
}

function avalancheSum(): void {
  const hi = sum[HI] as number;
  const lo = (sum[LO] as number) ^ (hi >>> 5);
  const mixedHi = multiplyHigh(lo, MIX_1_LO) + Math.imul(lo, MIX_1_HI) + Math.imul(hi, MIX_1_LO);
  sum[LO] = Math.imul(lo, MIX_1_LO) ^ mixedHi;
  sum[HI] = mixedHi;
}

function sumValue(): bigint {
  return joinU64(sum[LO] as number, sum[HI] as number);
}

/** The high 32 bits of the product of two u32, unsigned. */
function multiplyHigh(a: number, b: number): number {
  const aLo = a & 0xffff;
  const aHi = a >>> 16;
  const bLo = b & 0xffff;
  const bHi = b >>> 16;
  const low = aLo * bHi;
  const high = aHi * bLo;
  const carry = ((aLo * bLo) >>> 16) + (low & 0xffff) + (high & 0xffff);
  return aHi * bHi + (low >>> 16) + (high >>> 16) + (carry >>> 16);
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
