/** An IPv4 address as a number in network order; undefined for anything but four decimal parts without leading zeros. */
export function parseIpv4(text: string): number | undefined {
  const parts = text.split(".");
  if (parts.length !== 4) return undefined;
  let value = 0;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = value * 256 + Number(part);
  }
  return value;
}

/** The four decimal parts of an address. */
export function formatIpv4(value: number): string {
  return `${(value >>> 24) & 255}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

/** Reads four bytes as text. */
export function readIpv4(bytes: Uint8Array, offset: number): string {
  return `${bytes[offset]}.${bytes[offset + 1]}.${bytes[offset + 2]}.${bytes[offset + 3]}`;
}

/** Whether two addresses share a network. False for a mask of zero: that would be everywhere. */
export function inSameNetwork(a: string, b: string, netmask: string): boolean {
  const [left, right, mask] = [parseIpv4(a), parseIpv4(b), parseIpv4(netmask)];
  if (left === undefined || right === undefined || mask === undefined || mask === 0) return false;
  return (left & mask) === (right & mask);
}
