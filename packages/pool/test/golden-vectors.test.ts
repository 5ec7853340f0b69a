import { PacketCipher, ReplayWindow } from "@netmesh/crypto";
import { decodeEventFrames, decodeHeader, HeaderVerdict, isValidLength, validateHeader } from "@netmesh/wire";
import { describe, expect, test } from "vitest";
import {
  HEARTBEAT_SIZE,
  LocalCounter,
  PACKET_OFFSET,
  PacketBuilder,
  packetFields,
  SealingKey,
  SlotRing,
  ThreadLocalPool,
} from "../src/index.ts";
import { counterOf, golden, hex } from "./support/vectors.ts";

type BuildVector = (typeof golden.build)[0];

function builderOf(vector: { key: string; session_id: string; counter: string }): PacketBuilder {
  const counter = new LocalCounter(BigInt(vector.counter));
  return new PacketBuilder(new SealingKey(hex(vector.key), BigInt(vector.session_id), { counter }));
}

function eventsOf(vector: BuildVector): Uint8Array[] {
  return vector.events.map(hex);
}

const MASK = 0xffff_ffffn;
const lo = (value: string) => Number(BigInt(value) & MASK);
const hi = (value: string) => Number(BigInt(value) >> 32n);

describe.each(golden.build)("a packet as the reference builds it: $name", (vector) => {
  test("in a new array", () => {
    const builder = builderOf(vector);
    builder.setOriginHash(BigInt(vector.origin_hash));
    builder.setChannelHash(vector.channel_hash);
    const [stream, sequence] = [BigInt(vector.stream_id), BigInt(vector.sequence)];
    const packet =
      vector.method === "build"
        ? builder.build(stream, sequence, eventsOf(vector), vector.flags)
        : builder.buildSubprotocol(stream, sequence, eventsOf(vector), vector.flags, vector.subprotocol_id);
    expect(packet).toEqual(hex(vector.packet));
  });

  test("straight into a slot, from the middle of a list of events", () => {
    const slot = new SlotRing().acquire();
    if (slot === undefined) throw new Error("no slot");
    const events = [hex("ff"), ...eventsOf(vector), hex("ff")];
    const fields = Object.assign(packetFields(), {
      streamIdLo: lo(vector.stream_id),
      streamIdHi: hi(vector.stream_id),
      sequenceLo: lo(vector.sequence),
      sequenceHi: hi(vector.sequence),
      flags: vector.flags,
      subprotocolId: vector.subprotocol_id,
      channelHash: vector.channel_hash,
      originHashLo: lo(vector.origin_hash),
      originHashHi: hi(vector.origin_hash),
    });
    const builder = builderOf(vector);
    slot.bytes.fill(0xee);
    slot.length = builder.buildInto(slot.bytes, PACKET_OFFSET, fields, events, 1, events.length - 1);
    expect(slot.datagram).toEqual(hex(vector.packet));
    expect(slot.bytes[PACKET_OFFSET - 1]).toBe(0xee);
    expect(slot.bytes[PACKET_OFFSET + slot.length]).toBe(0xee);
  });
});

test("handshake packets are the reference's", () => {
  const builder = builderOf({ key: "11".repeat(32), session_id: "1", counter: "0" });
  for (const { payload, packet } of golden.build_handshake) {
    expect(builder.buildHandshake(hex(payload))).toEqual(hex(packet));
  }
});

test("heartbeats are the reference's, without the builder's origin and channel", () => {
  for (const vector of golden.build_heartbeat) {
    const builder = builderOf(vector);
    builder.setOriginHash(0x1234n);
    builder.setChannelHash(0xbeef);
    expect(builder.buildHeartbeat()).toEqual(hex(vector.packet));
  }
});

test("what the reference builds oversized, this builder refuses", () => {
  for (const vector of golden.oversize) {
    expect(vector.receiver_accepts).toBe(false);
    const payload = vector.packet_len - HEARTBEAT_SIZE;
    const builder = builderOf({ key: "11".repeat(32), session_id: "5", counter: "0" });
    const count = decodeHeader(hex(vector.header))?.eventCount ?? 0;
    const events = Array.from({ length: count }, () => new Uint8Array(payload / count - 4));
    expect(builder.wouldFit(events)).toBe(vector.would_fit);
    expect(() => builder.build(1n, 2n, events)).toThrow(
      expect.objectContaining({ code: "message-too-large", value: payload, limit: 8108 }),
    );
  }
});

/**
 * Net leaves the channel hash on a pooled builder (session.md S10): its steps 4 and 7 to 9 carry that of step 3. Here the
 * hash is reset, so the test sets it where Net's stuck.
 */
test("one pool, operation by operation, gives the reference's packets with the counters in order", () => {
  const { key, session_id } = golden.pool_sequence_context;
  const sessionId = BigInt(session_id);
  const pool = new ThreadLocalPool(hex(key), sessionId, { size: 4 });
  const cipher = new PacketCipher(hex(key), sessionId);
  for (const { packet, counter_on_wire, channel_hash_on_wire, op } of golden.pool_sequence) {
    const expected = hex(packet);
    const header = decodeHeader(expected);
    if (header === undefined) throw new Error(op);
    using guard = pool.acquire();
    if (op.startsWith("build_handshake")) {
      expect(guard.buildHandshake(expected.subarray(68))).toEqual(expected);
      continue;
    }
    expect(counterOf(expected)).toBe(BigInt(counter_on_wire));
    if (op.startsWith("build_heartbeat")) {
      expect(guard.buildHeartbeat()).toEqual(expected);
      continue;
    }
    const opened = expected.slice();
    const length = cipher.openPacket(opened, 0, opened.length);
    const events = decodeEventFrames(opened.subarray(68, 68 + length), header.eventCount);
    guard.setChannelHash(channel_hash_on_wire);
    guard.setOriginHash(header.originHash);
    expect(
      guard.buildSubprotocol(header.streamId, header.sequence, events, header.flags, header.subprotocolId),
    ).toEqual(expected);
  }
});

test("receivers notice each altered byte as the reference's do", () => {
  const { key, session_id, packet } = golden.tamper_context;
  const cipher = new PacketCipher(hex(key), BigInt(session_id));
  for (const { offset, parsed, valid_length, decrypts } of golden.tamper) {
    const bytes = hex(packet);
    bytes[offset] = (bytes[offset] as number) ^ 1;
    const valid = validateHeader(bytes, 0, bytes.length) === HeaderVerdict.OK;
    expect(valid).toBe(parsed);
    expect(valid && isValidLength(bytes, 0, bytes.length)).toBe(valid_length);
    expect(valid && cipher.openPacket(bytes, 0, bytes.length) >= 0).toBe(decrypts);
  }
});

test("heartbeats are accepted once each, as in the reference", () => {
  const { rx_key, session_id } = golden.heartbeat_verify_context;
  const cipher = new PacketCipher(hex(rx_key), BigInt(session_id));
  const window = new ReplayWindow();
  for (const { packet, accepted } of golden.heartbeat_verify) {
    const bytes = hex(packet);
    const counter = counterOf(bytes);
    const verdict =
      bytes.length === HEARTBEAT_SIZE &&
      cipher.openPacket(bytes, 0, bytes.length) === 0 &&
      window.commit(Number(counter & MASK), Number(counter >> 32n));
    expect(verdict).toBe(accepted);
  }
});
