import { bytesToHex, hexToBytes, type PeerContact } from "@netmesh/sdk";

/** How to reach a process of the demo, as it travels between processes: hex strings instead of bytes and bigints. */
export interface Contact {
  readonly address: string;
  readonly nodeId: string;
  readonly publicKey: string;
}

/** A contact as the SDK takes it. */
export function fromContact(contact: Contact): PeerContact & { readonly address: string } {
  return {
    address: contact.address,
    nodeId: BigInt(`0x${contact.nodeId}`),
    publicKey: hexToBytes(contact.publicKey),
  };
}

/** A contact of a mesh for another process. */
export function toContact(contact: PeerContact & { readonly address: string }): Contact {
  return {
    address: contact.address,
    nodeId: contact.nodeId.toString(16).padStart(16, "0"),
    publicKey: bytesToHex(contact.publicKey),
  };
}

/** What a process was started with under that name. */
export function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}
