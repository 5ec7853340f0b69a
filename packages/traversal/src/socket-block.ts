import { type AddressBlock, SocketAddress } from "@netmesh/wire";

const V4_SIZE = 4;
const V6_GROUPS = 8;

/** An address as messages carry it (traversal §5); undefined for one with a scope, which means nothing to others. */
export function toBlock(address: SocketAddress): AddressBlock | undefined {
  const { host, port, family } = address;
  if (family === 4) return { family, address: Uint8Array.from(host.split(".").map(Number)), port };
  if (host.includes("%")) return undefined;
  const [head = "", tail] = host.split("::") as [string, string?];
  const groups = (text: string) =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const before = groups(head);
  const after = tail === undefined ? [] : groups(tail);
  const zeros = new Array<number>(V6_GROUPS - before.length - after.length).fill(0);
  const bytes = new Uint8Array(2 * V6_GROUPS);
  const view = new DataView(bytes.buffer);
  for (const [i, group] of [...before, ...zeros, ...after].entries()) view.setUint16(2 * i, group);
  return { family, address: bytes, port };
}

/** The address in a message; one mapped from IPv4 comes out as that (traversal §5). */
export function fromBlock({ family, address, port }: AddressBlock): SocketAddress {
  if (family === V4_SIZE) return SocketAddress.parse({ host: [...address].join("."), port });
  const view = new DataView(address.buffer, address.byteOffset, address.length);
  const groups = Array.from({ length: V6_GROUPS }, (_, i) => view.getUint16(2 * i).toString(16));
  return SocketAddress.parse({ host: groups.join(":"), port });
}
