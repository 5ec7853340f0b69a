import { writeHandshakePacket } from "@netmesh/pool";
import {
  HANDSHAKE_TTL,
  HEADER_SIZE,
  high32,
  low32,
  ROUTING_HEADER_SIZE,
  writeRoutingHeader,
} from "@netmesh/wire";

/** Where a routed handshake message comes from and goes to. */
export interface HandshakeRoute {
  readonly from: bigint;
  readonly to: bigint;
}

/** A Noise message as a handshake packet, behind a routing header when a route is given (spec/wire.md §5). */
export function handshakeDatagram(message: Uint8Array, route: HandshakeRoute | undefined): Uint8Array {
  const start = route === undefined ? 0 : ROUTING_HEADER_SIZE;
  const bytes = new Uint8Array(start + HEADER_SIZE + message.length);
  if (route !== undefined) {
    writeRoutingHeader(bytes, 0, HANDSHAKE_TTL, 0, low32(route.from), low32(route.to), high32(route.to));
  }
  writeHandshakePacket(bytes, start, message);
  return bytes;
}
