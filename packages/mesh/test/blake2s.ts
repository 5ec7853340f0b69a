// BLAKE2s-256 and HMAC over it, written for these tests so that they need not take the word of what they test.

/** RFC 7693 §2.6. */
const IV = [0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19];
/** RFC 7693 §2.7: the order of the message words in each round, in hex digits. */
const SIGMA = [
  "0123456789abcdef",
  "ea489fd61c02b753",
  "b8c052fdae367194",
  "7931dcbe265a40f8",
  "905724afe1bc683d",
  "2c6a0b834d75fe19",
  "c51fed4a0763928b",
  "db7ec13950f4862a",
  "6fe9b308c2d714a5",
  "a2847615fb9e3cd0",
];
const BLOCK = 64;

/** The words that each of a round's eight mixings works on: four columns, then four diagonals (§3.2). */
const MIXINGS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

function compress(h: Uint32Array, block: DataView, total: number, isLast: boolean): void {
  const v = Uint32Array.of(...h, ...IV);
  v[12] = (v[12] as number) ^ total;
  if (isLast) v[14] = ~(v[14] as number);
  const rotate = (at: number, by: number, bits: number) => {
    const x = (v[at] as number) ^ (v[by] as number);
    v[at] = (x >>> bits) | (x << (32 - bits));
  };
  const add = (at: number, x: number) => {
    v[at] = (v[at] as number) + x;
  };
  for (const order of SIGMA) {
    const word = (i: number) => block.getUint32(4 * Number.parseInt(order[i] as string, 16), true);
    MIXINGS.forEach(([a, b, c, d], i) => {
      add(a, (v[b] as number) + word(2 * i));
      rotate(d, a, 16);
      add(c, v[d] as number);
      rotate(b, c, 12);
      add(a, (v[b] as number) + word(2 * i + 1));
      rotate(d, a, 8);
      add(c, v[d] as number);
      rotate(b, c, 7);
    });
  }
  for (let i = 0; i < 8; i++) h[i] = (h[i] as number) ^ (v[i] as number) ^ (v[i + 8] as number);
}

/** BLAKE2s-256 of the parts in a row; less than 4 GiB. */
export function blake2s(...parts: readonly Uint8Array[]): Uint8Array {
  const data = Uint8Array.from(parts.flatMap((part) => [...part]));
  const h = Uint32Array.from(IV);
  h[0] = (h[0] as number) ^ 0x0101_0020; // 32 bytes of digest, no key
  for (let at = 0; at === 0 || at < data.length; at += BLOCK) {
    const block = new Uint8Array(BLOCK);
    block.set(data.subarray(at, at + BLOCK));
    const total = Math.min(at + BLOCK, data.length);
    compress(h, new DataView(block.buffer), total, total === data.length);
  }
  const digest = new Uint8Array(32);
  const view = new DataView(digest.buffer);
  h.forEach((word, i) => {
    view.setUint32(4 * i, word, true);
  });
  return digest;
}

/** HMAC-BLAKE2s with a key of at most 64 bytes (RFC 2104). */
export function hmacBlake2s(key: Uint8Array, ...parts: readonly Uint8Array[]): Uint8Array {
  const pad = (byte: number) => Uint8Array.from({ length: BLOCK }, (_, i) => (key[i] ?? 0) ^ byte);
  return blake2s(pad(0x5c), blake2s(pad(0x36), ...parts));
}
