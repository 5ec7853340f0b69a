// ChaCha20-Poly1305 (RFC 8439) for WebAssembly with 128-bit SIMD, in AssemblyScript.
//
// ChaCha20 computes four blocks at a time, one in each lane. Poly1305 works on 32-bit limbs in 64-bit registers, and its
// blocks stand between the rounds, so that the scalar and the vector units of the processor are busy at the same time.
// No branch and no address depends on a secret. There is no allocator: all state has its place in memory-map.ts.

import {
  AAD,
  BATCH,
  BATCH_ENTRY,
  BLOCK,
  KEYSTREAM,
  LANES,
  MASK,
  NONCE,
  POLY,
  STATE_END,
  TEXT_END,
  ZEROS,
} from "./memory-map";

export * from "./memory-map";

const PASS_BYTES: u32 = 256;
/** Message bytes of the first pass; its first block is the Poly1305 key (RFC 8439 §2.6). */
const FIRST_BYTES: u32 = 192;
const LOW: u64 = 0xffff_ffff;

// Net packets: 68 bytes of header, of which 56 are associated data.
const HEADER_BYTES: u32 = 68;
const PACKET_AAD_BYTES: u32 = 56;
const AAD_BLOCKS: u32 = 4;
const NONCE_PREFIX: u32 = 12;
const COUNTER: u32 = 16;

/** Payload of packets that need two blocks: the Poly1305 key and one of key stream. */
const PAIR_BYTES: u32 = 64;
const ENTRY_PACKET: u32 = 16;
const ENTRY_LENGTH: u32 = 20;
const ENTRY_RESULT: u32 = 24;

function rotate16(x: v128): v128 {
  return v128.swizzle(x, i8x16(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13));
}

function rotate12(x: v128): v128 {
  return v128.or(i32x4.shl(x, 12), i32x4.shr_u(x, 20));
}

function rotate8(x: v128): v128 {
  return v128.swizzle(x, i8x16(3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14));
}

function rotate7(x: v128): v128 {
  return v128.or(i32x4.shl(x, 7), i32x4.shr_u(x, 25));
}

/** Turns the same four words of four blocks into 16 bytes of each block, and mixes them with the text. */
function transpose(a: v128, b: v128, c: v128, d: v128, source: u32, target: u32, at: u32): void {
  const low0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const high0 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const low1 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const high1 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  mix(v128.shuffle<i64>(low0, low1, 0, 2), source, target, at);
  mix(v128.shuffle<i64>(low0, low1, 1, 3), source, target, at + 64);
  mix(v128.shuffle<i64>(high0, high1, 0, 2), source, target, at + 128);
  mix(v128.shuffle<i64>(high0, high1, 1, 3), source, target, at + 192);
}

function mix(stream: v128, source: u32, target: u32, at: u32): void {
  v128.store(target + at, v128.xor(stream, v128.load(source + at)));
}

/**
 * One pass: target = source XOR key stream, 256 bytes each, for the four blocks of LANES; meanwhile Poly1305 takes `left`
 * (0 to 20) whole blocks from `text`. Those may be the source itself: they are read before it is overwritten.
 */
function pass(source: u32, target: u32, text: u32, left: i32): void {
  let x0 = v128.load(LANES, 0);
  let x1 = v128.load(LANES, 16);
  let x2 = v128.load(LANES, 32);
  let x3 = v128.load(LANES, 48);
  let x4 = v128.load(LANES, 64);
  let x5 = v128.load(LANES, 80);
  let x6 = v128.load(LANES, 96);
  let x7 = v128.load(LANES, 112);
  let x8 = v128.load(LANES, 128);
  let x9 = v128.load(LANES, 144);
  let x10 = v128.load(LANES, 160);
  let x11 = v128.load(LANES, 176);
  let x12 = v128.load(LANES, 192);
  let x13 = v128.load(LANES, 208);
  let x14 = v128.load(LANES, 224);
  let x15 = v128.load(LANES, 240);
  let h0 = load<u64>(POLY);
  let h1 = load<u64>(POLY, 8);
  let h2 = load<u64>(POLY, 16);
  let h3 = load<u64>(POLY, 24);
  let h4 = load<u64>(POLY, 32);
  const r0 = load<u64>(POLY, 40);
  const r1 = load<u64>(POLY, 48);
  const r2 = load<u64>(POLY, 56);
  const r3 = load<u64>(POLY, 64);
  const s1 = r1 + (r1 >> 2);
  const s2 = r2 + (r2 >> 2);
  const s3 = r3 + (r3 >> 2);
  let d0: u64, d1: u64, d2: u64, d3: u64;
  for (let round = 0; round < 10; round++) {
    // Column round (RFC 8439 §2.3), the four quarter rounds side by side.
    x0 = i32x4.add(x0, x4);
    x1 = i32x4.add(x1, x5);
    x2 = i32x4.add(x2, x6);
    x3 = i32x4.add(x3, x7);
    x12 = rotate16(v128.xor(x12, x0));
    x13 = rotate16(v128.xor(x13, x1));
    x14 = rotate16(v128.xor(x14, x2));
    x15 = rotate16(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12);
    x9 = i32x4.add(x9, x13);
    x10 = i32x4.add(x10, x14);
    x11 = i32x4.add(x11, x15);
    x4 = rotate12(v128.xor(x4, x8));
    x5 = rotate12(v128.xor(x5, x9));
    x6 = rotate12(v128.xor(x6, x10));
    x7 = rotate12(v128.xor(x7, x11));
    x0 = i32x4.add(x0, x4);
    x1 = i32x4.add(x1, x5);
    x2 = i32x4.add(x2, x6);
    x3 = i32x4.add(x3, x7);
    x12 = rotate8(v128.xor(x12, x0));
    x13 = rotate8(v128.xor(x13, x1));
    x14 = rotate8(v128.xor(x14, x2));
    x15 = rotate8(v128.xor(x15, x3));
    x8 = i32x4.add(x8, x12);
    x9 = i32x4.add(x9, x13);
    x10 = i32x4.add(x10, x14);
    x11 = i32x4.add(x11, x15);
    x4 = rotate7(v128.xor(x4, x8));
    x5 = rotate7(v128.xor(x5, x9));
    x6 = rotate7(v128.xor(x6, x10));
    x7 = rotate7(v128.xor(x7, x11));
    // The same Poly1305 step as in absorb: locals cannot be passed to a function and come back changed.
    if (left > 0) {
      h0 += load<u32>(text);
      h1 += load<u32>(text, 4);
      h2 += load<u32>(text, 8);
      h3 += load<u32>(text, 12);
      h4 += 1;
      d0 = h0 * r0 + h1 * s3 + h2 * s2 + h3 * s1;
      d1 = h0 * r1 + h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1;
      d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2;
      d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3;
      h4 *= r0;
      d1 += d0 >> 32;
      d2 += d1 >> 32;
      d3 += d2 >> 32;
      h4 += d3 >> 32;
      h0 = (d0 & LOW) + (h4 >> 2) * 5;
      h1 = (d1 & LOW) + (h0 >> 32);
      h0 &= LOW;
      h2 = d2 & LOW;
      h3 = d3 & LOW;
      h4 &= 3;
      text += 16;
      left--;
    }
    // Diagonal round.
    x0 = i32x4.add(x0, x5);
    x1 = i32x4.add(x1, x6);
    x2 = i32x4.add(x2, x7);
    x3 = i32x4.add(x3, x4);
    x15 = rotate16(v128.xor(x15, x0));
    x12 = rotate16(v128.xor(x12, x1));
    x13 = rotate16(v128.xor(x13, x2));
    x14 = rotate16(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15);
    x11 = i32x4.add(x11, x12);
    x8 = i32x4.add(x8, x13);
    x9 = i32x4.add(x9, x14);
    x5 = rotate12(v128.xor(x5, x10));
    x6 = rotate12(v128.xor(x6, x11));
    x7 = rotate12(v128.xor(x7, x8));
    x4 = rotate12(v128.xor(x4, x9));
    x0 = i32x4.add(x0, x5);
    x1 = i32x4.add(x1, x6);
    x2 = i32x4.add(x2, x7);
    x3 = i32x4.add(x3, x4);
    x15 = rotate8(v128.xor(x15, x0));
    x12 = rotate8(v128.xor(x12, x1));
    x13 = rotate8(v128.xor(x13, x2));
    x14 = rotate8(v128.xor(x14, x3));
    x10 = i32x4.add(x10, x15);
    x11 = i32x4.add(x11, x12);
    x8 = i32x4.add(x8, x13);
    x9 = i32x4.add(x9, x14);
    x5 = rotate7(v128.xor(x5, x10));
    x6 = rotate7(v128.xor(x6, x11));
    x7 = rotate7(v128.xor(x7, x8));
    x4 = rotate7(v128.xor(x4, x9));
    if (left > 0) {
      h0 += load<u32>(text);
      h1 += load<u32>(text, 4);
      h2 += load<u32>(text, 8);
      h3 += load<u32>(text, 12);
      h4 += 1;
      d0 = h0 * r0 + h1 * s3 + h2 * s2 + h3 * s1;
      d1 = h0 * r1 + h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1;
      d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2;
      d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3;
      h4 *= r0;
      d1 += d0 >> 32;
      d2 += d1 >> 32;
      d3 += d2 >> 32;
      h4 += d3 >> 32;
      h0 = (d0 & LOW) + (h4 >> 2) * 5;
      h1 = (d1 & LOW) + (h0 >> 32);
      h0 &= LOW;
      h2 = d2 & LOW;
      h3 = d3 & LOW;
      h4 &= 3;
      text += 16;
      left--;
    }
  }
  store<u64>(POLY, h0);
  store<u64>(POLY, h1, 8);
  store<u64>(POLY, h2, 16);
  store<u64>(POLY, h3, 24);
  store<u64>(POLY, h4, 32);
  x0 = i32x4.add(x0, v128.load(LANES, 0));
  x1 = i32x4.add(x1, v128.load(LANES, 16));
  x2 = i32x4.add(x2, v128.load(LANES, 32));
  x3 = i32x4.add(x3, v128.load(LANES, 48));
  x4 = i32x4.add(x4, v128.load(LANES, 64));
  x5 = i32x4.add(x5, v128.load(LANES, 80));
  x6 = i32x4.add(x6, v128.load(LANES, 96));
  x7 = i32x4.add(x7, v128.load(LANES, 112));
  x8 = i32x4.add(x8, v128.load(LANES, 128));
  x9 = i32x4.add(x9, v128.load(LANES, 144));
  x10 = i32x4.add(x10, v128.load(LANES, 160));
  x11 = i32x4.add(x11, v128.load(LANES, 176));
  x12 = i32x4.add(x12, v128.load(LANES, 192));
  x13 = i32x4.add(x13, v128.load(LANES, 208));
  x14 = i32x4.add(x14, v128.load(LANES, 224));
  x15 = i32x4.add(x15, v128.load(LANES, 240));
  transpose(x0, x1, x2, x3, source, target, 0);
  transpose(x4, x5, x6, x7, source, target, 16);
  transpose(x8, x9, x10, x11, source, target, 32);
  transpose(x12, x13, x14, x15, source, target, 48);
}

/** Moves the block counters of LANES on by four. */
function nextBlocks(): void {
  v128.store(LANES, i32x4.add(v128.load(LANES, 192), i32x4.splat(4)), 192);
}

/** Poly1305 over `count` whole blocks. */
function absorb(text: u32, count: i32): void {
  let h0 = load<u64>(POLY);
  let h1 = load<u64>(POLY, 8);
  let h2 = load<u64>(POLY, 16);
  let h3 = load<u64>(POLY, 24);
  let h4 = load<u64>(POLY, 32);
  const r0 = load<u64>(POLY, 40);
  const r1 = load<u64>(POLY, 48);
  const r2 = load<u64>(POLY, 56);
  const r3 = load<u64>(POLY, 64);
  const s1 = r1 + (r1 >> 2);
  const s2 = r2 + (r2 >> 2);
  const s3 = r3 + (r3 >> 2);
  let d0: u64, d1: u64, d2: u64, d3: u64;
  for (; count > 0; count--) {
    h0 += load<u32>(text);
    h1 += load<u32>(text, 4);
    h2 += load<u32>(text, 8);
    h3 += load<u32>(text, 12);
    h4 += 1;
    d0 = h0 * r0 + h1 * s3 + h2 * s2 + h3 * s1;
    d1 = h0 * r1 + h1 * r0 + h2 * s3 + h3 * s2 + h4 * s1;
    d2 = h0 * r2 + h1 * r1 + h2 * r0 + h3 * s3 + h4 * s2;
    d3 = h0 * r3 + h1 * r2 + h2 * r1 + h3 * r0 + h4 * s3;
    h4 *= r0;
    d1 += d0 >> 32;
    d2 += d1 >> 32;
    d3 += d2 >> 32;
    h4 += d3 >> 32;
    h0 = (d0 & LOW) + (h4 >> 2) * 5;
    h1 = (d1 & LOW) + (h0 >> 32);
    h0 &= LOW;
    h2 = d2 & LOW;
    h3 = d3 & LOW;
    h4 &= 3;
    text += 16;
  }
  store<u64>(POLY, h0);
  store<u64>(POLY, h1, 8);
  store<u64>(POLY, h2, 16);
  store<u64>(POLY, h3, 24);
  store<u64>(POLY, h4, 32);
}

/** Poly1305 over `length` bytes, the last block padded with zeros. Reads up to 15 bytes behind them. */
function absorbPadded(text: u32, length: u32): void {
  const whole = length >> 4;
  absorb(text, whole);
  const rest = length & 15;
  if (rest == 0) return;
  const last = v128.load(text + (whole << 4));
  v128.store(BLOCK, v128.and(last, v128.load(MASK + 16 - rest)));
  absorb(BLOCK, 1);
}

/** Takes the Poly1305 key from a key stream block (RFC 8439 §2.5). */
function startPoly(key: u32): void {
  store<u64>(POLY, 0);
  store<u64>(POLY, 0, 8);
  store<u64>(POLY, 0, 16);
  store<u64>(POLY, 0, 24);
  store<u64>(POLY, 0, 32);
  store<u64>(POLY, load<u32>(key) & 0x0fff_ffff, 40);
  store<u64>(POLY, load<u32>(key, 4) & 0x0fff_fffc, 48);
  store<u64>(POLY, load<u32>(key, 8) & 0x0fff_fffc, 56);
  store<u64>(POLY, load<u32>(key, 12) & 0x0fff_fffc, 64);
  v128.store(POLY, v128.load(key, 16), 72);
}

/** Poly1305 over the block of lengths that closes the message (RFC 8439 §2.8). */
function absorbLengths(aadLength: u32, textLength: u32): void {
  store<u64>(BLOCK, aadLength);
  store<u64>(BLOCK, textLength, 8);
  absorb(BLOCK, 1);
}

/** Leaves the tag in BLOCK. */
function finishPoly(): void {
  let h0 = load<u64>(POLY);
  let h1 = load<u64>(POLY, 8);
  let h2 = load<u64>(POLY, 16);
  let h3 = load<u64>(POLY, 24);
  let h4 = load<u64>(POLY, 32);
  h2 += h1 >> 32;
  h1 &= LOW;
  h3 += h2 >> 32;
  h2 &= LOW;
  h4 += h3 >> 32;
  h3 &= LOW;
  // h + 5 reaches 2^130 exactly when h is not below the prime; then h - p is h + 5 - 2^130.
  const g0 = h0 + 5;
  const g1 = h1 + (g0 >> 32);
  const g2 = h2 + (g1 >> 32);
  const g3 = h3 + (g2 >> 32);
  const over: u64 = 0 - (((h4 + (g3 >> 32)) >> 2) & 1);
  h0 = (h0 & ~over) | (g0 & over & LOW);
  h1 = (h1 & ~over) | (g1 & over & LOW);
  h2 = (h2 & ~over) | (g2 & over & LOW);
  h3 = (h3 & ~over) | (g3 & over & LOW);
  h0 += load<u32>(POLY, 72);
  h1 += load<u32>(POLY, 76) + (h0 >> 32);
  h2 += load<u32>(POLY, 80) + (h1 >> 32);
  h3 += load<u32>(POLY, 84) + (h2 >> 32);
  store<u32>(BLOCK, <u32>h0);
  store<u32>(BLOCK, <u32>h1, 4);
  store<u32>(BLOCK, <u32>h2, 8);
  store<u32>(BLOCK, <u32>h3, 12);
}

/** LANES for blocks 0 to 3 of one key and nonce. */
function startLanes(key: u32, n0: u32, n1: u32, n2: u32): void {
  v128.store(LANES, i32x4.splat(0x6170_7865));
  v128.store(LANES, i32x4.splat(0x3320_646e), 16);
  v128.store(LANES, i32x4.splat(0x7962_2d32), 32);
  v128.store(LANES, i32x4.splat(0x6b20_6574), 48);
  for (let word: u32 = 0; word < 8; word++) {
    v128.store(LANES + 64 + (word << 4), v128.load32_splat(key + (word << 2)));
  }
  v128.store(LANES, i32x4(0, 1, 2, 3), 192);
  v128.store(LANES, i32x4.splat(n0), 208);
  v128.store(LANES, i32x4.splat(n1), 224);
  v128.store(LANES, i32x4.splat(n2), 240);
}

/** Mixes `length` bytes with the key stream, in steps of 16: up to 15 bytes behind them change as well. */
function mixWith(stream: u32, text: u32, length: u32): void {
  for (let at: u32 = 0; at < length; at += 16) {
    v128.store(text + at, v128.xor(v128.load(text + at), v128.load(stream + at)));
  }
}

function sealText(
  key: u32,
  n0: u32,
  n1: u32,
  n2: u32,
  aad: u32,
  aadLength: u32,
  text: u32,
  length: u32,
): void {
  startLanes(key, n0, n1, n2);
  pass(ZEROS, KEYSTREAM, 0, 0);
  startPoly(KEYSTREAM);
  absorbPadded(aad, aadLength);
  const first = min(length, FIRST_BYTES);
  mixWith(KEYSTREAM + 64, text, first);
  // Poly1305 follows one pass behind.
  let absorbed: u32 = 0;
  let mixed = first;
  while (length - mixed >= PASS_BYTES) {
    nextBlocks();
    pass(text + mixed, text + mixed, text + absorbed, <i32>(mixed - absorbed) >> 4);
    absorbed = mixed;
    mixed += PASS_BYTES;
  }
  if (mixed < length) {
    nextBlocks();
    pass(ZEROS, KEYSTREAM, text + absorbed, <i32>(mixed - absorbed) >> 4);
    absorbed = mixed;
    mixWith(KEYSTREAM, text + mixed, length - mixed);
  }
  absorbPadded(text + absorbed, length - absorbed);
  absorbLengths(aadLength, length);
  finishPoly();
  v128.store(text + length, v128.load(BLOCK));
}

/** False, and zeros in the place of the text, when the tag is wrong. */
function openText(
  key: u32,
  n0: u32,
  n1: u32,
  n2: u32,
  aad: u32,
  aadLength: u32,
  text: u32,
  length: u32,
): bool {
  const tag = v128.load(text + length);
  startLanes(key, n0, n1, n2);
  pass(ZEROS, KEYSTREAM, 0, 0);
  startPoly(KEYSTREAM);
  absorbPadded(aad, aadLength);
  const first = min(length, FIRST_BYTES);
  absorbPadded(text, first);
  mixWith(KEYSTREAM + 64, text, first);
  let done = first;
  while (length - done >= PASS_BYTES) {
    nextBlocks();
    pass(text + done, text + done, text + done, PASS_BYTES >> 4);
    done += PASS_BYTES;
  }
  if (done < length) {
    const rest = length - done;
    nextBlocks();
    pass(ZEROS, KEYSTREAM, text + done, <i32>(rest >> 4));
    const whole = rest & ~15;
    absorbPadded(text + done + whole, rest - whole);
    mixWith(KEYSTREAM, text + done, rest);
  }
  absorbLengths(aadLength, length);
  finishPoly();
  if (!v128.any_true(v128.xor(v128.load(BLOCK), tag))) return true;
  memory.fill(text, 0, length);
  return false;
}

/** Gathers the associated data of a packet: its header without the nonce, and with hop count 0. */
function gatherAad(packet: u32): void {
  store<u64>(AAD, load<u64>(packet) & 0xff00_ffff_ffff_ffff);
  store<u32>(AAD, load<u32>(packet, 8), 8);
  v128.store(AAD, v128.load(packet, 24), 12);
  v128.store(AAD, v128.load(packet, 40), 28);
  store<u64>(AAD, load<u64>(packet, 56), 44);
  store<u32>(AAD, load<u32>(packet, 64), 52);
}

/** Writes the nonce into the header of a packet. */
function writeNonce(packet: u32, prefix: u32, counterLo: u32, counterHi: u32): void {
  store<u32>(packet, prefix, NONCE_PREFIX);
  store<u32>(packet, counterLo, COUNTER);
  store<u32>(packet, counterHi, COUNTER + 4);
}

/**
 * Poly1305 in one run over what follows the gathered associated data: `length` bytes of cipher text in AAD + 64, padded
 * here, and the lengths. Leaves the tag in BLOCK.
 */
function finishShort(length: u32): void {
  const end = AAD + AAD_BLOCKS * 16 + ((length + 15) & ~15);
  const rest = length & 15;
  if (rest != 0) v128.store(end - 16, v128.and(v128.load(end - 16), v128.load(MASK + 16 - rest)));
  store<u64>(end, PACKET_AAD_BYTES);
  store<u64>(end, length, 8);
  absorb(AAD, <i32>(end - AAD) / 16 + 1);
  finishPoly();
}

/** Seals a packet of at most 192 bytes of payload with the key stream at `stream`, which begins with block 0. */
function sealShort(stream: u32, packet: u32, length: u32): void {
  gatherAad(packet);
  startPoly(stream);
  const text = packet + HEADER_BYTES;
  for (let at: u32 = 0; at < length; at += 16) {
    const mixed = v128.xor(v128.load(text + at), v128.load(stream + 64 + at));
    v128.store(text + at, mixed);
    v128.store(AAD + AAD_BLOCKS * 16 + at, mixed);
  }
  finishShort(length);
  v128.store(text + length, v128.load(BLOCK));
}

/** Opens such a packet; false, and the packet as it was, when the tag is wrong. */
function openShort(stream: u32, packet: u32, length: u32): bool {
  gatherAad(packet);
  startPoly(stream);
  const text = packet + HEADER_BYTES;
  for (let at: u32 = 0; at < length; at += 16) {
    v128.store(AAD + AAD_BLOCKS * 16 + at, v128.load(text + at));
  }
  finishShort(length);
  if (v128.any_true(v128.xor(v128.load(BLOCK), v128.load(text + length)))) return false;
  mixWith(stream + 64, text, length);
  return true;
}

/** Seals a packet in place: header, `length` bytes of payload, room for the tag. */
export function sealPacket(
  key: u32,
  prefix: u32,
  counterLo: u32,
  counterHi: u32,
  packet: u32,
  length: u32,
): void {
  writeNonce(packet, prefix, counterLo, counterHi);
  if (length <= FIRST_BYTES) {
    startLanes(key, prefix, counterLo, counterHi);
    pass(ZEROS, KEYSTREAM, 0, 0);
    sealShort(KEYSTREAM, packet, length);
    return;
  }
  gatherAad(packet);
  sealText(key, prefix, counterLo, counterHi, AAD, PACKET_AAD_BYTES, packet + HEADER_BYTES, length);
}

/** Opens a packet with `length` bytes of payload in place; false when its tag is wrong. */
export function openPacket(key: u32, prefix: u32, packet: u32, length: u32): bool {
  const counterLo = load<u32>(packet, COUNTER);
  const counterHi = load<u32>(packet, COUNTER + 4);
  if (length <= FIRST_BYTES) {
    startLanes(key, prefix, counterLo, counterHi);
    pass(ZEROS, KEYSTREAM, 0, 0);
    return openShort(KEYSTREAM, packet, length);
  }
  gatherAad(packet);
  return openText(key, prefix, counterLo, counterHi, AAD, PACKET_AAD_BYTES, packet + HEADER_BYTES, length);
}

// A batch is a list at BATCH. Each entry of 32 bytes: key, nonce prefix, counter (two words), packet, payload length,
// result; u32 each, the last one unused. Two neighbours that need no more than two blocks each share one pass.

/** LANES for blocks 0 and 1 of two packets. */
function startPair(first: u32, second: u32): void {
  startLanes(load<u32>(first), load<u32>(first, 4), load<u32>(first, 8), load<u32>(first, 12));
  const key = load<u32>(second);
  for (let word: u32 = 0; word < 8; word++) {
    const lane = LANES + 64 + (word << 4);
    v128.store(lane, v128.shuffle<i64>(v128.load(lane), v128.load32_splat(key + (word << 2)), 0, 2));
  }
  v128.store(LANES, i32x4(0, 1, 0, 1), 192);
  for (let word: u32 = 0; word < 3; word++) {
    const lane = LANES + 208 + (word << 4);
    v128.store(lane, v128.shuffle<i64>(v128.load(lane), v128.load32_splat(second + 4 + (word << 2)), 0, 2));
  }
}

function isPair(first: u32, end: u32): bool {
  return (
    first + BATCH_ENTRY < end &&
    load<u32>(first, ENTRY_LENGTH) <= PAIR_BYTES &&
    load<u32>(first + BATCH_ENTRY, ENTRY_LENGTH) <= PAIR_BYTES
  );
}

/** Seals the first `count` packets of the batch, at most BATCH_LIMIT. */
export function sealPackets(count: u32): void {
  const end = BATCH + count * BATCH_ENTRY;
  for (let entry = BATCH; entry < end; ) {
    const packet = load<u32>(entry, ENTRY_PACKET);
    const length = load<u32>(entry, ENTRY_LENGTH);
    const prefix = load<u32>(entry, 4);
    const counterLo = load<u32>(entry, 8);
    const counterHi = load<u32>(entry, 12);
    if (!isPair(entry, end)) {
      sealPacket(load<u32>(entry), prefix, counterLo, counterHi, packet, length);
      entry += BATCH_ENTRY;
      continue;
    }
    const next = entry + BATCH_ENTRY;
    const neighbour = load<u32>(next, ENTRY_PACKET);
    startPair(entry, next);
    pass(ZEROS, KEYSTREAM, 0, 0);
    writeNonce(packet, prefix, counterLo, counterHi);
    writeNonce(neighbour, load<u32>(next, 4), load<u32>(next, 8), load<u32>(next, 12));
    sealShort(KEYSTREAM, packet, length);
    sealShort(KEYSTREAM + 128, neighbour, load<u32>(next, ENTRY_LENGTH));
    entry = next + BATCH_ENTRY;
  }
}

/** Opens the first `count` packets of the batch; each entry's result is 1 when its tag was good, else 0. */
export function openPackets(count: u32): void {
  const end = BATCH + count * BATCH_ENTRY;
  for (let entry = BATCH; entry < end; ) {
    const packet = load<u32>(entry, ENTRY_PACKET);
    const length = load<u32>(entry, ENTRY_LENGTH);
    store<u64>(entry, load<u64>(packet, COUNTER), 8);
    if (!isPair(entry, end)) {
      store<u32>(entry, openPacket(load<u32>(entry), load<u32>(entry, 4), packet, length), ENTRY_RESULT);
      entry += BATCH_ENTRY;
      continue;
    }
    const next = entry + BATCH_ENTRY;
    const neighbour = load<u32>(next, ENTRY_PACKET);
    store<u64>(next, load<u64>(neighbour, COUNTER), 8);
    startPair(entry, next);
    pass(ZEROS, KEYSTREAM, 0, 0);
    store<u32>(entry, openShort(KEYSTREAM, packet, length), ENTRY_RESULT);
    store<u32>(next, openShort(KEYSTREAM + 128, neighbour, load<u32>(next, ENTRY_LENGTH)), ENTRY_RESULT);
    entry = next + BATCH_ENTRY;
  }
}

/** Seals `length` bytes at `text`, 16 free bytes behind them; the 12-byte nonce lies at `nonce`. */
export function seal(key: u32, nonce: u32, aad: u32, aadLength: u32, text: u32, length: u32): void {
  sealText(key, load<u32>(nonce), load<u32>(nonce, 4), load<u32>(nonce, 8), aad, aadLength, text, length);
}

/** Opens `length` bytes at `text`, the tag behind them. */
export function open(key: u32, nonce: u32, aad: u32, aadLength: u32, text: u32, length: u32): bool {
  return openText(
    key,
    load<u32>(nonce),
    load<u32>(nonce, 4),
    load<u32>(nonce, 8),
    aad,
    aadLength,
    text,
    length,
  );
}

/** Prepares the constant parts of the memory. */
export function initialize(): void {
  memory.fill(MASK, 0xff, 16);
}

/** Wipes what the processing of packets has left behind. */
export function wipe(): void {
  memory.fill(LANES, 0, STATE_END - LANES);
  memory.fill(NONCE, 0, TEXT_END - NONCE);
}
