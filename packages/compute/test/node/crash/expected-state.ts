/** Entities that are written at once. */
export const ENTITIES = 3;

/** The state of an entity after `n` outputs: of 1 to 40 000 bytes that depend on both. */
export function stateAt(entity: number, n: number): Uint8Array {
  const length = 1 + ((n * 7919 + entity * 104_729) % 40_000);
  const step = 1 + ((n + entity) % 251);
  return Uint8Array.from({ length }, (_, i) => i * step + n);
}
