/** Where unpredictable bytes come from; fits the one of `@netmesh/crypto`. */
export interface RandomSource {
  /** Fills all of `bytes`, or throws. */
  fill(bytes: Uint8Array): void;
}

/** A whole number in `0 <= n < limit`, for `limit` up to 2^24; the bias of the remainder is below 2^-8. */
export function randomBelow(random: RandomSource, limit: number): number {
  const bytes = new Uint8Array(4);
  random.fill(bytes);
  return new DataView(bytes.buffer).getUint32(0) % limit;
}
