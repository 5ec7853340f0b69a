import { hexToBytes, type PeerContact } from "@netmesh/sdk";
import { UsageError } from "../settings.ts";

/** A node to be examined, and where it is when that is known. */
export interface Contact extends PeerContact {
  readonly address: string | undefined;
}

/** The same, at an address. */
export interface LocatedContact extends Contact {
  readonly address: string;
}

const PATTERN = /^(?<nodeId>[0-9a-f]{16}):(?<publicKey>[0-9a-f]{64})(?:@(?<address>\S+:\d{1,5}))?$/i;

/** Reads `NODEID:PUBLICKEY@HOST:PORT`, where the address may be missing. @throws {UsageError} */
export function parseContact(text: string, option: string): Contact {
  const { nodeId, publicKey, address } = PATTERN.exec(text)?.groups ?? {};
  if (nodeId === undefined || publicKey === undefined) {
    throw new UsageError(`${option} must be NODEID:PUBLICKEY@HOST:PORT, in hexadecimal: ${text}`);
  }
  return { nodeId: BigInt(`0x${nodeId}`), publicKey: hexToBytes(publicKey), address };
}

/** The same with an address. @throws {UsageError} */
export function parseLocatedContact(text: string, option: string): LocatedContact {
  const { address, ...contact } = parseContact(text, option);
  if (address === undefined) throw new UsageError(`${option} needs an address: ${text}`);
  return { ...contact, address };
}

/** A node id as it is shown, 16 hex digits. */
export function idText(nodeId: bigint): string {
  return nodeId.toString(16).padStart(16, "0");
}
