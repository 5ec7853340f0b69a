/** Whether all bits of `mask` are set in `flags` (§3.1). */
export function hasFlags(flags: number, mask: number): boolean {
  return (flags & mask) === mask;
}

/** `flags` with the bits of `mask` set (§3.1). */
export function withFlags(flags: number, mask: number): number {
  return (flags | mask) & 0xff;
}

/** `flags` with the bits of `mask` cleared (§3.1). */
export function withoutFlags(flags: number, mask: number): number {
  return flags & ~mask & 0xff;
}
