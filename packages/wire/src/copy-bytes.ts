/**
 * An independent copy of `bytes[start..end]`. `Uint8Array.prototype.slice` copies too, but Node's `Buffer` overrides it
 * with a view, and callers pass buffers.
 */
export function copyBytes(bytes: Uint8Array, start = 0, end: number = bytes.length): Uint8Array {
  const copy = new Uint8Array(end - start);
  copy.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end));
  return copy;
}
