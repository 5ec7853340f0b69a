import {
  ADDRESS_BLOCK_SIZE,
  type AddressBlock,
  readAddressBlock,
  writeAddressBlock,
} from "./address-block.ts";
import { readU32Be, readU64Be, writeU32Be, writeU64Be } from "./big-endian.ts";
import { WireError } from "./errors.ts";
import { assertU8, assertU32 } from "./integer-range.ts";
import { assertU64 } from "./u64.ts";

/** Asks a common peer to introduce us to `target` (§9.5). */
export interface PunchRequest {
  readonly type: "punch-request";
  readonly target: bigint;
  /** The requester's own reflexive address. */
  readonly reflex: AddressBlock;
}

/** Tells a side whom to punch, where and when (§9.5). */
export interface PunchIntroduce {
  readonly type: "punch-introduce";
  readonly peer: bigint;
  readonly reflex: AddressBlock;
  /** Milliseconds since the Unix epoch. */
  readonly fireAtMs: bigint;
}

/** Confirms that a punched datagram arrived (§9.5). */
export interface PunchAck {
  readonly type: "punch-ack";
  readonly from: bigint;
  readonly to: bigint;
  readonly punchId: number;
}

/**
 * Tells a requester why nobody was introduced. Not part of Net 0.27, whose nodes ignore it.
 *
 *     04 ‖ target u64 ‖ reason u8
 */
export interface PunchReject {
  readonly type: "punch-reject";
  readonly target: bigint;
  /** Why, u8; what it means is up to the coordinator. */
  readonly reason: number;
}

/**
 * Tells a peer, in the session with it, the addresses of the sender's host. Not part of Net 0.27, whose nodes ignore it.
 *
 *     05 ‖ count u8, 1 to 8 ‖ count address blocks of 19 bytes
 */
export interface PunchCandidates {
  readonly type: "punch-candidates";
  readonly addresses: readonly AddressBlock[];
}

/** One event of subprotocol `0x0D01`; its integers are big-endian (§9.5). */
export type RendezvousMessage = PunchRequest | PunchIntroduce | PunchAck | PunchReject | PunchCandidates;

const REQUEST = 1;
const INTRODUCE = 2;
const ACK = 3;
const REJECT = 4;
const CANDIDATES = 5;

const REFLEX_OFFSET = 9;
const FIRE_AT_OFFSET: number = REFLEX_OFFSET + ADDRESS_BLOCK_SIZE;
const REQUEST_SIZE: number = FIRE_AT_OFFSET;
const INTRODUCE_SIZE: number = FIRE_AT_OFFSET + 8;
const ACK_SIZE = 21;
const REJECT_SIZE = 10;
const CANDIDATES_OFFSET = 2;
const MAX_CANDIDATES = 8;

/**
 * Encodes a rendezvous message into new bytes: 28, 36, 21 or 10, and 2 + 19 for each candidate (§9.5).
 * @throws {WireError} `invalid-argument` when a field is out of range, an address block inconsistent, or there are not 1 to 8
 * candidates.
 */
export function encodeRendezvous(message: RendezvousMessage): Uint8Array {
  switch (message.type) {
    case "punch-request": {
      assertU64(message.target, "target");
      const bytes = new Uint8Array(REQUEST_SIZE);
      bytes[0] = REQUEST;
      writeU64Be(bytes, 1, message.target);
      writeAddressBlock(bytes, REFLEX_OFFSET, message.reflex);
      return bytes;
    }
    case "punch-introduce": {
      assertU64(message.peer, "peer");
      assertU64(message.fireAtMs, "fireAtMs");
      const bytes = new Uint8Array(INTRODUCE_SIZE);
      bytes[0] = INTRODUCE;
      writeU64Be(bytes, 1, message.peer);
      writeAddressBlock(bytes, REFLEX_OFFSET, message.reflex);
      writeU64Be(bytes, FIRE_AT_OFFSET, message.fireAtMs);
      return bytes;
    }
    case "punch-ack": {
      assertU64(message.from, "from");
      assertU64(message.to, "to");
      assertU32(message.punchId, "punchId");
      const bytes = new Uint8Array(ACK_SIZE);
      bytes[0] = ACK;
      writeU64Be(bytes, 1, message.from);
      writeU64Be(bytes, 9, message.to);
      writeU32Be(bytes, 17, message.punchId);
      return bytes;
    }
    case "punch-reject": {
      assertU64(message.target, "target");
      assertU8(message.reason, "reason");
      const bytes = new Uint8Array(REJECT_SIZE);
      bytes[0] = REJECT;
      writeU64Be(bytes, 1, message.target);
      bytes[9] = message.reason;
      return bytes;
    }
    case "punch-candidates": {
      const { addresses } = message;
      const { length } = addresses;
      if (length < 1 || length > MAX_CANDIDATES) {
        throw new WireError("invalid-argument", `there must be 1 to ${MAX_CANDIDATES} candidates`, length);
      }
      const bytes = new Uint8Array(CANDIDATES_OFFSET + length * ADDRESS_BLOCK_SIZE);
      bytes[0] = CANDIDATES;
      bytes[1] = length;
      for (const [i, address] of addresses.entries()) {
        writeAddressBlock(bytes, CANDIDATES_OFFSET + i * ADDRESS_BLOCK_SIZE, address);
      }
      return bytes;
    }
  }
}

/** Decodes a rendezvous message; `undefined` unless it has the exact length of a known kind (§9.5). */
export function decodeRendezvous(bytes: Uint8Array): RendezvousMessage | undefined {
  const kind = bytes[0];
  const { length } = bytes;
  if (kind === ACK && length === ACK_SIZE) {
    const from = readU64Be(bytes, 1);
    return { type: "punch-ack", from, to: readU64Be(bytes, 9), punchId: readU32Be(bytes, 17) };
  }
  if (kind === REJECT && length === REJECT_SIZE) {
    return { type: "punch-reject", target: readU64Be(bytes, 1), reason: bytes[9] as number };
  }
  if (kind === CANDIDATES) return decodeCandidates(bytes);
  const isRequest = kind === REQUEST && length === REQUEST_SIZE;
  const isIntroduce = kind === INTRODUCE && length === INTRODUCE_SIZE;
  if (!isRequest && !isIntroduce) return undefined;
  const reflex = readAddressBlock(bytes, REFLEX_OFFSET);
  if (reflex === undefined) return undefined;
  const id = readU64Be(bytes, 1);
  if (isRequest) return { type: "punch-request", target: id, reflex };
  return { type: "punch-introduce", peer: id, reflex, fireAtMs: readU64Be(bytes, FIRE_AT_OFFSET) };
}

function decodeCandidates(bytes: Uint8Array): PunchCandidates | undefined {
  const count = bytes[1] ?? 0;
  if (count < 1 || count > MAX_CANDIDATES) return undefined;
  if (bytes.length !== CANDIDATES_OFFSET + count * ADDRESS_BLOCK_SIZE) return undefined;
  const addresses: AddressBlock[] = [];
  for (let i = 0; i < count; i++) {
    const address = readAddressBlock(bytes, CANDIDATES_OFFSET + i * ADDRESS_BLOCK_SIZE);
    if (address === undefined) return undefined;
    addresses.push(address);
  }
  return { type: "punch-candidates", addresses };
}
