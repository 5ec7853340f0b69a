import { PoolError } from "./errors.ts";

/** Builders that a pool holds at most (spec crypto.md §11, 13). */
export const MAX_POOL_SIZE = 16_384;

/** Throws `invalid-size` unless `size` is a whole number from 1 to the maximum. */
export function requirePoolSize(size: number): void {
  if (!Number.isInteger(size) || size < 1 || size > MAX_POOL_SIZE) {
    throw new PoolError(
      "invalid-size",
      `a pool has 1 to ${MAX_POOL_SIZE} builders, not ${size}`,
      size,
      MAX_POOL_SIZE,
    );
  }
}
