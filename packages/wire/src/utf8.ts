const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const CONTINUATION_MASK = 0xc0;
const CONTINUATION = 0x80;

export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** `undefined` when `bytes` are not UTF-8. */
export function decodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

/** At most `max` bytes of UTF-8, cut before the character that does not fit. */
export function encodeUtf8Prefix(text: string, max: number): Uint8Array {
  const bytes = encodeUtf8(text);
  if (bytes.length <= max) return bytes;
  let end = max;
  while (((bytes[end] as number) & CONTINUATION_MASK) === CONTINUATION) end--;
  return bytes.subarray(0, end);
}
