import { randomBytes } from "node:crypto";
import { encodeHeader, encodeRoutingHeader, PacketFlags } from "@netmesh/wire";

/** What an attacker without the key can send. */
export type ForgedKind = "direct" | "routed" | "stamped" | "junk";

/** The kinds that are handshake messages. */
export const HANDSHAKE_KINDS: readonly ForgedKind[] = ["direct", "routed", "stamped"];

/** Bytes of the Noise message in a handshake of netmesh. */
const MESSAGE_BYTES = 64;
const STAMP_AT = 24;
const STAMP_BYTES = 32;

/**
 * A datagram of that kind for that node: a first handshake message, bare or routed, routed with a random stamp, or as many
 * bytes that begin like nothing that a node knows.
 */
export function forgeDatagram(kind: ForgedKind, nodeId: bigint): Uint8Array {
  const header = encodeHeader({ flags: PacketFlags.HANDSHAKE, payloadLength: MESSAGE_BYTES });
  if (kind === "stamped") header.set(randomBytes(STAMP_BYTES), STAMP_AT);
  const sourceId = randomBytes(4).readUInt32LE();
  const routing = encodeRoutingHeader({
    ttl: 16,
    hopCount: 0,
    flags: 0,
    reserved: 0,
    sourceId,
    destination: nodeId,
  });
  if (kind === "junk") routing.fill(0xff, 0, 2);
  const parts = kind === "direct" ? [header] : [routing, header];
  return Uint8Array.from(Buffer.concat([...parts, randomBytes(MESSAGE_BYTES)]));
}
