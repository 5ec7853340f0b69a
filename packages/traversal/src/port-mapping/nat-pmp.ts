/** Layouts of NAT-PMP (RFC 6886), all big-endian. */
import { readIpv4 } from "./ipv4.ts";
import { PortMappingError } from "./port-mapping-error.ts";

/** UDP port of NAT-PMP and PCP on the gateway. */
export const GATEWAY_PORT = 5351;

/** Result codes (RFC 6886 §3.5). */
export const NatPmpResult = {
  success: 0,
  unsupportedVersion: 1,
  notAuthorized: 2,
  networkFailure: 3,
  outOfResources: 4,
  unsupportedOpcode: 5,
} as const;

const RESULT_NAMES = [
  "success",
  "unsupported-version",
  "not-authorized",
  "network-failure",
  "out-of-resources",
  "unsupported-opcode",
];

/** The name of a result code; `unknown` for those that the RFC does not have. */
export function natPmpResultName(result: number): string {
  return RESULT_NAMES[result] ?? "unknown";
}

/** The answer to the question for the external address (RFC 6886 §3.2). */
export interface NatPmpAddressAnswer {
  readonly kind: "address";
  readonly result: number;
  /** Seconds since the gateway lost its state. */
  readonly epochSeconds: number;
  readonly externalHost: string;
}

/** The answer to a request for a UDP mapping (RFC 6886 §3.3). */
export interface NatPmpMapAnswer {
  readonly kind: "map";
  readonly result: number;
  readonly epochSeconds: number;
  readonly internalPort: number;
  readonly mappedPort: number;
  readonly lifetimeSeconds: number;
}

/** A short answer that only says no (RFC 6886 §3.5). */
export interface NatPmpErrorAnswer {
  readonly kind: "error";
  /** What was asked for: 0 the address, 1 a UDP mapping. */
  readonly opcode: 0 | 1;
  readonly result: number;
  readonly epochSeconds: number;
}

/** What a gateway answers. */
export type NatPmpAnswer = NatPmpAddressAnswer | NatPmpMapAnswer | NatPmpErrorAnswer;

/** The two bytes that ask for the external address. */
export function encodeNatPmpAddressRequest(): Uint8Array {
  return new Uint8Array(2);
}

/** The twelve bytes that ask for a UDP mapping; lifetime and suggested port 0 delete it (RFC 6886 §3.3, §3.4). */
export function encodeNatPmpMapRequest(
  internalPort: number,
  suggestedPort: number,
  lifetimeSeconds: number,
): Uint8Array {
  const bytes = new Uint8Array(12);
  const view = new DataView(bytes.buffer);
  bytes[1] = 1;
  view.setUint16(4, internalPort);
  view.setUint16(6, suggestedPort);
  view.setUint32(8, lifetimeSeconds);
  return bytes;
}

/** Reads an answer; undefined for what is none. Longer datagrams are answers with a tail. Never throws. */
export function decodeNatPmpAnswer(bytes: Uint8Array): NatPmpAnswer | undefined {
  if (bytes.length < 8 || bytes[0] !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const opcode = (bytes[1] as number) - 128;
  if (opcode !== 0 && opcode !== 1) return undefined;
  const result = view.getUint16(2);
  const epochSeconds = view.getUint32(4);
  if (bytes.length < 12) return result === 0 ? undefined : { kind: "error", opcode, result, epochSeconds };
  if (opcode === 0) return { kind: "address", result, epochSeconds, externalHost: readIpv4(bytes, 8) };
  if (bytes.length < 16) return undefined;
  return {
    kind: "map",
    result,
    epochSeconds,
    internalPort: view.getUint16(8),
    mappedPort: view.getUint16(10),
    lifetimeSeconds: view.getUint32(12),
  };
}

/** A result other than success as an error: without an external address the gateway has nothing to offer. */
export function natPmpError(result: number): PortMappingError {
  const kind = result === NatPmpResult.networkFailure ? "unavailable" : "refused";
  return new PortMappingError(kind, natPmpResultName(result), { routerCode: result });
}
