import { LIKELY_SIZES, SEARCH_STEP_BYTES } from "./constants.ts";

/**
 * The size to probe next, undefined when the search is over: likely sizes first, then halves of what is left.
 *
 * @param passes - the largest size that is known to pass
 * @param tooLarge - the smallest size that is known not to; `Infinity` when there is none
 * @param most - the largest size to search for, one of the likely sizes
 */
export function nextSearchSize(passes: number, tooLarge: number, most: number): number | undefined {
  if (passes >= most) return undefined;
  for (const size of LIKELY_SIZES) if (size > passes && size < tooLarge && size <= most) return size;
  return tooLarge - passes > SEARCH_STEP_BYTES ? (passes + tooLarge) >>> 1 : undefined;
}
