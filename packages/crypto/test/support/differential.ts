/** Random cases on which every AEAD provider has to agree with a reference, byte for byte. */
import type { AeadKey, AeadProvider } from "../../src/index.ts";

/** ChaCha20-Poly1305 of somebody else: cipher text and tag. */
export type ReferenceSeal = (
  key: Uint8Array,
  nonce: Uint8Array,
  aad: Uint8Array,
  plain: Uint8Array,
) => Uint8Array;

const HEADER = 68;
const TAG = 16;
/** Lengths around which implementations change their ways. */
const EDGES = [0, 16, 64, 128, 192, 256, 448, 512, 704, 1200, 4096, 8108];

/** xorshift32: the same cases for the same seed, in every runtime. */
export class CaseSource {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  next(): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x;
    return x >>> 0;
  }

  below(limit: number): number {
    return this.next() % limit;
  }

  bytes(size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    for (let i = 0; i < size; i++) bytes[i] = this.next() >>> 11;
    return bytes;
  }

  /** Mostly short, often near an edge, sometimes anything up to the largest payload. */
  length(): number {
    const kind = this.below(8);
    if (kind < 4) return this.below(400);
    if (kind < 7) return Math.max(0, (EDGES[this.below(EDGES.length)] as number) + this.below(35) - 17);
    return this.below(8_109);
  }
}

/**
 * Runs `cases` random cases on a provider: packets and messages, in its own memory and elsewhere, at odd offsets, opened
 * again, and refused with one bit flipped. Throws with the number of the case that went wrong.
 */
export function compareWithReference(
  provider: AeadProvider,
  reference: ReferenceSeal,
  cases: number,
  seed: number,
): void {
  const source = new CaseSource(seed);
  const room = 16_384;
  const own = provider.memory?.allocate(room);
  const elsewhere = new Uint8Array(room);
  let key = provider.create(source.bytes(32));
  try {
    let keyBytes = source.bytes(32);
    for (let i = 0; i < cases; i++) {
      if (i % 64 === 0) {
        key.destroy();
        keyBytes = source.bytes(32);
        key = provider.create(keyBytes);
      }
      const memory = own !== undefined && i % 2 === 0 ? own : elsewhere;
      const agrees =
        i % 4 < 3
          ? packet(source, key, keyBytes, memory, reference)
          : message(source, key, keyBytes, memory, reference);
      if (!agrees) throw new Error(`${provider.name}: case ${i} of seed ${seed} differs`);
    }
  } finally {
    key.destroy();
    if (own !== undefined) provider.memory?.release(own);
  }
}

function packet(
  source: CaseSource,
  key: AeadKey,
  keyBytes: Uint8Array,
  memory: Uint8Array,
  reference: ReferenceSeal,
): boolean {
  const length = source.length();
  const offset = 64 + source.below(64);
  const end = offset + HEADER + length + TAG;
  const before = source.bytes(HEADER + length + TAG);
  memory.set(before, offset);
  memory[offset - 1] = 0xa5;
  memory[end] = 0x5a;
  const nonce = source.bytes(12);
  const words = new DataView(nonce.buffer);
  const prefix = words.getUint32(0, true);
  key.sealPacket(memory, offset, length, prefix, words.getUint32(4, true), words.getUint32(8, true));

  const aad = new Uint8Array(56);
  aad.set(before.subarray(0, 12));
  aad.set(before.subarray(24, HEADER), 12);
  aad[6] = 0;
  const plain = before.subarray(HEADER, HEADER + length);
  const sealed = memory.slice(offset, end);
  const expected = before.slice();
  expected.set(nonce, 12);
  expected.set(reference(keyBytes, nonce, aad, plain), HEADER);
  if (!same(sealed, expected) || memory[offset - 1] !== 0xa5 || memory[end] !== 0x5a) return false;

  // Anything but the hop count (byte 6) and the prefix (12 to 15), which are not authenticated.
  let flipped = source.below(sealed.length);
  if (flipped === 6 || (flipped >= 12 && flipped < 16)) flipped = 16;
  const byte = memory[offset + flipped] as number;
  memory[offset + flipped] = byte ^ (1 << source.below(8));
  if (key.openPacket(memory, offset, length, prefix)) return false;
  if (length >= 16 && same(memory.subarray(offset + HEADER, offset + HEADER + length), plain)) return false;

  memory.set(sealed, offset);
  memory[offset + 6] = source.below(256);
  return (
    key.openPacket(memory, offset, length, prefix) &&
    same(memory.subarray(offset + HEADER, offset + HEADER + length), plain) &&
    memory[offset - 1] === 0xa5 &&
    memory[end] === 0x5a
  );
}

function message(
  source: CaseSource,
  key: AeadKey,
  keyBytes: Uint8Array,
  memory: Uint8Array,
  reference: ReferenceSeal,
): boolean {
  const length = source.length();
  const offset = source.below(64);
  const plain = source.bytes(length);
  const nonce = source.bytes(12);
  const aad = source.bytes(source.below(3) === 0 ? source.below(300) : source.below(66));
  memory.set(plain, offset);
  key.seal(nonce, aad, memory, offset, length);
  const sealed = memory.slice(offset, offset + length + TAG);
  if (!same(sealed, reference(keyBytes, nonce, aad, plain))) return false;
  const flipped = offset + source.below(sealed.length);
  memory[flipped] = (memory[flipped] as number) ^ 0x80;
  if (key.open(nonce, aad, memory, offset, length + TAG)) return false;
  memory.set(sealed, offset);
  return (
    key.open(nonce, aad, memory, offset, length + TAG) &&
    same(memory.subarray(offset, offset + length), plain)
  );
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
