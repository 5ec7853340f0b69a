/** What a permission token allows, as bits of a u32 (spec crypto.md §9.1). */
export const TokenScope = {
  /** To publish on the channel. */
  PUBLISH: 1,
  /** To subscribe to the channel. */
  SUBSCRIBE: 2,
  /** To administer the channel. */
  ADMIN: 4,
  /** To pass the token on, in part or in whole, to another subject. */
  DELEGATE: 8,
  /** The token holds for every channel, not just for its own. */
  WILDCARD: 16,
  /** Everything on the one channel of the token. */
  ALL: 15,
} as const;

/** Whether `scope` has all bits of `wanted`; nothing has the empty set. */
export function hasScope(scope: number, wanted: number): boolean {
  return wanted !== 0 && (scope & wanted) >>> 0 === wanted;
}
