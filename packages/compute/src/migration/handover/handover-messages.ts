import { readU64, writeU64 } from "@netmesh/wire";

/** What netmesh nodes tell each other about a handover, on the subprotocol of migrations. The reference knows none of these types. */
const TYPES = {
  prepare: 0x80,
  prepared: 0x81,
  commit: 0x82,
  committed: 0x83,
  query: 0x84,
  abort: 0x85,
  refused: 0x86,
  offer: 0x87,
} as const;

/** Type, origin hash, id of the move. */
const SIZE = 17;
const ORIGIN = 1;
const MOVE = 9;

/** A message about one move of one daemon. */
export interface HandoverMessage {
  readonly type: keyof typeof TYPES;
  readonly originHash: bigint;
  /** Chosen at random by the source; u64. */
  readonly moveId: bigint;
}

const NAMES = new Map(
  Object.entries(TYPES).map(([name, type]) => [type as number, name as HandoverMessage["type"]]),
);

/** The message as 17 bytes. */
export function encodeHandoverMessage({ type, originHash, moveId }: HandoverMessage): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  bytes[0] = TYPES[type];
  writeU64(bytes, ORIGIN, originHash);
  writeU64(bytes, MOVE, moveId);
  return bytes;
}

/** The message in `bytes`; undefined unless they are exactly one. */
export function decodeHandoverMessage(bytes: Uint8Array): HandoverMessage | undefined {
  const type = NAMES.get(bytes[0] ?? 0);
  if (type === undefined || bytes.length !== SIZE) return undefined;
  return { type, originHash: readU64(bytes, ORIGIN), moveId: readU64(bytes, MOVE) };
}
