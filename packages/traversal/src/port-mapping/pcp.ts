/** Layouts of PCP (RFC 6887), all big-endian. */
import { parseIpv4, readIpv4 } from "./ipv4.ts";
import { PortMappingError } from "./port-mapping-error.ts";

/** Bytes of a header. */
export const PCP_HEADER_SIZE = 24;

/** Bytes of a MAP request or answer without options. */
export const PCP_MAP_SIZE = 60;

/** Bytes of the nonce that ties a mapping to who made it. */
export const PCP_NONCE_SIZE = 12;

/** Most bytes of a message (RFC 6887 §7). */
const MAX_SIZE = 1100;

const VERSION = 2;
const ANSWER_BIT = 0x80;
const UDP = 17;

/** Operations in use (RFC 6887 §19.1). */
export const PcpOpcode = { announce: 0, map: 1 } as const;

/** Result codes that make a difference here (RFC 6887 §7.4). */
export const PcpResult = {
  success: 0,
  unsupportedVersion: 1,
  unsupportedOpcode: 4,
  addressMismatch: 12,
} as const;

const RESULT_NAMES = [
  "success",
  "unsupp-version",
  "not-authorized",
  "malformed-request",
  "unsupp-opcode",
  "unsupp-option",
  "malformed-option",
  "network-failure",
  "no-resources",
  "unsupp-protocol",
  "user-ex-quota",
  "cannot-provide-external",
  "address-mismatch",
  "excessive-remote-peers",
];

/** What a MAP request says. */
export interface PcpMapRequest {
  /** Our own address, as the gateway will see it in the packet. */
  readonly clientHost: string;
  /** 12 bytes, the same for all requests about one mapping. */
  readonly nonce: Uint8Array;
  readonly internalPort: number;
  /** 0 to leave the choice to the gateway. */
  readonly suggestedPort: number;
  /** `0.0.0.0` to leave the choice to the gateway. */
  readonly suggestedHost: string;
  /** 0 deletes. */
  readonly lifetimeSeconds: number;
}

/** What every answer says. */
export interface PcpAnswer {
  readonly opcode: number;
  readonly result: number;
  /** Lease granted; of an error, how long it will last. */
  readonly lifetimeSeconds: number;
  /** Seconds since the gateway lost its state. */
  readonly epochSeconds: number;
  /** What an answer to MAP says on top. */
  readonly map: PcpMapAnswer | undefined;
}

/** The part of an answer to MAP behind the header. */
export interface PcpMapAnswer {
  /** View of the datagram. */
  readonly nonce: Uint8Array;
  readonly protocol: number;
  readonly internalPort: number;
  readonly externalPort: number;
  /** Undefined when it is not IPv4. */
  readonly externalHost: string | undefined;
}

/** The 24 bytes that ask whether somebody speaks PCP. */
export function encodePcpAnnounce(clientHost: string): Uint8Array {
  return header(PCP_HEADER_SIZE, PcpOpcode.announce, 0, clientHost);
}

/** The 60 bytes that ask for a UDP mapping (RFC 6887 §11.1). */
export function encodePcpMap(request: PcpMapRequest): Uint8Array {
  const bytes = header(PCP_MAP_SIZE, PcpOpcode.map, request.lifetimeSeconds, request.clientHost);
  const view = new DataView(bytes.buffer);
  bytes.set(request.nonce, 24);
  bytes[36] = UDP;
  view.setUint16(40, request.internalPort);
  view.setUint16(42, request.suggestedPort);
  writeMapped(bytes, 44, request.suggestedHost);
  return bytes;
}

/** Reads an answer with any options behind it; undefined for what is none. Never throws. */
export function decodePcpAnswer(bytes: Uint8Array): PcpAnswer | undefined {
  const { length } = bytes;
  if (length < PCP_HEADER_SIZE || length > MAX_SIZE || length % 4 !== 0) return undefined;
  const kind = bytes[1] as number;
  if (bytes[0] !== VERSION || (kind & ANSWER_BIT) === 0) return undefined;
  const opcode = kind & ~ANSWER_BIT;
  const view = new DataView(bytes.buffer, bytes.byteOffset, length);
  const isMap = opcode === PcpOpcode.map;
  if (isMap && length < PCP_MAP_SIZE) return undefined;
  return {
    opcode,
    result: bytes[3] as number,
    lifetimeSeconds: view.getUint32(4),
    epochSeconds: view.getUint32(8),
    map: isMap
      ? {
          nonce: bytes.subarray(24, 24 + PCP_NONCE_SIZE),
          protocol: bytes[36] as number,
          internalPort: view.getUint16(40),
          externalPort: view.getUint16(42),
          externalHost: readMapped(bytes, 44),
        }
      : undefined,
  };
}

/** Whether an answer is the one to a MAP request. */
export function answersMap(answer: PcpMapAnswer, request: PcpMapRequest): boolean {
  return (
    answer.protocol === UDP &&
    answer.internalPort === request.internalPort &&
    answer.nonce.every((byte, index) => byte === request.nonce[index])
  );
}

/** A result other than success as an error. */
export function pcpError(result: number): PortMappingError {
  const gone: readonly number[] = [
    PcpResult.unsupportedVersion,
    PcpResult.unsupportedOpcode,
    PcpResult.addressMismatch,
  ];
  const name = RESULT_NAMES[result] ?? "unknown";
  return new PortMappingError(gone.includes(result) ? "unavailable" : "refused", name, {
    routerCode: result,
  });
}

function header(size: number, opcode: number, lifetimeSeconds: number, clientHost: string): Uint8Array {
  const bytes = new Uint8Array(size);
  bytes[0] = VERSION;
  bytes[1] = opcode;
  new DataView(bytes.buffer).setUint32(4, lifetimeSeconds);
  writeMapped(bytes, 8, clientHost);
  return bytes;
}

/** Writes an IPv4 address as `::ffff:a.b.c.d`, which is the only way that PCP has for it (RFC 6887 §5). */
function writeMapped(bytes: Uint8Array, offset: number, host: string): void {
  const value = parseIpv4(host);
  if (value === undefined) throw new PortMappingError("transport", `not an IPv4 address: ${host}`);
  bytes[offset + 10] = 0xff;
  bytes[offset + 11] = 0xff;
  new DataView(bytes.buffer).setUint32(offset + 12, value);
}

function readMapped(bytes: Uint8Array, offset: number): string | undefined {
  for (let index = 0; index < 12; index += 1) {
    if (bytes[offset + index] !== (index < 10 ? 0 : 0xff)) return undefined;
  }
  return readIpv4(bytes, offset + 12);
}
