import { PacketCipher } from "@netmesh/crypto";
import { decodeEventFrames, decodeHeader, encodeEventFrames, HEADER_SIZE, PacketFlags } from "@netmesh/wire";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  epochCounter,
  HEARTBEAT_SIZE,
  LocalCounter,
  MAX_EPOCH_PACKETS,
  PacketBuilder,
  packetFields,
  SealingKey,
  writeHandshakePacket,
} from "../src/index.ts";
import { counterOf, pattern } from "./support/vectors.ts";

const key = pattern(32, 1);
const SESSION_ID = 0xabcdefn;
const none: Uint8Array[] = [];

function make(counter?: LocalCounter, originHash?: bigint): PacketBuilder {
  return new PacketBuilder(new SealingKey(key, SESSION_ID, counter && { counter }), originHash);
}

function open(packet: Uint8Array, usedKey = key, sessionId = SESSION_ID): number {
  return new PacketCipher(usedKey, sessionId).openPacket(packet.slice(), 0, packet.length);
}

const events = (count: number, size = 0) => Array.from({ length: count }, () => new Uint8Array(size));

test("a packet of framed events is the packet of those events, and leaves the frames as they are", () => {
  for (const list of [[], [pattern(3, 1)], [pattern(3, 1), new Uint8Array(0), pattern(4_000, 2)]]) {
    const memory = pattern(9_000, 5);
    const frames = encodeEventFrames(list);
    memory.set(frames, 77);
    const before = memory.slice();
    const fields = { ...packetFields(), streamIdLo: 7, sequenceLo: 9, flags: PacketFlags.RELIABLE };
    const expected = new Uint8Array(84 + frames.length);
    make().buildInto(expected, 0, fields, list, 0, list.length);
    const target = new Uint8Array(10 + expected.length);
    const length = make().buildFramedInto(target, 10, fields, memory, 77, frames.length, list.length);
    expect(target.subarray(10)).toEqual(expected);
    expect(length).toBe(expected.length);
    expect(memory).toEqual(before);
  }
});

test("framed events that a packet does not take are refused before a byte is written or a counter used", () => {
  const builder = make();
  const target = pattern(9_000, 1);
  const frames = new Uint8Array(9_000);
  const refuses = (code: string, offset: number, start: number, length: number, count: number) => {
    expect(() =>
      builder.buildFramedInto(target, offset, packetFields(), frames, start, length, count),
    ).toThrow(expect.objectContaining({ code }));
  };
  refuses("too-many-events", 0, 0, 8_108, 2_028);
  refuses("message-too-large", 0, 0, 8_109, 1);
  refuses("buffer-too-small", 0, 8_000, 1_001, 1);
  refuses("buffer-too-small", 1_000, 0, 8_000, 1);
  expect(target).toEqual(pattern(9_000, 1));
  expect(counterOf(builder.build(1n, 0n, none))).toBe(0n);
});

test("what is built comes out again, whatever the fields", () => {
  const u64 = fc.bigInt(0n, 2n ** 64n - 1n);
  const u16 = fc.nat(0xffff);
  const payload = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 20 });
  fc.assert(
    fc.property(
      u64,
      u64,
      u64,
      u16,
      u16,
      fc.nat(0x3f),
      payload,
      (stream, sequence, origin, channel, id, flags, list) => {
        const builder = make(undefined, origin);
        builder.setChannelHash(channel);
        const packet = builder.buildSubprotocol(stream, sequence, list, flags, id);
        expect(decodeHeader(packet)).toMatchObject({
          streamId: stream,
          sequence,
          originHash: origin,
          channelHash: channel,
          subprotocolId: id,
          flags,
          sessionId: SESSION_ID,
          eventCount: list.length,
        });
        const length = new PacketCipher(key, SESSION_ID).openPacket(packet, 0, packet.length);
        expect(decodeEventFrames(packet.subarray(HEADER_SIZE, HEADER_SIZE + length), list.length)).toEqual(
          list,
        );
      },
    ),
  );
});

test("a packet is an independent copy: building the next one leaves it alone", () => {
  const builder = make();
  const first = builder.build(1n, 0n, [pattern(9, 1)]);
  const before = first.slice();
  builder.build(1n, 1n, [pattern(9, 2)]);
  expect(first).toEqual(before);
  expect(first.byteLength).toBe(first.buffer.byteLength);
});

describe("limits", () => {
  test("2027 events and 8108 bytes are taken", () => {
    const builder = make();
    expect(open(builder.build(1n, 0n, events(1)))).toBe(4);
    expect(open(builder.build(1n, 0n, events(2027)))).toBe(8108);
    expect(open(builder.build(1n, 0n, events(1, 8104)))).toBe(8108);
  });

  test("2028 events throw with Net's words, from both forms, before a counter is used", () => {
    const builder = make();
    const refusal = expect.objectContaining({ code: "too-many-events", value: 2028, limit: 2027 });
    expect(() => builder.build(1n, 0n, events(2028))).toThrow(refusal);
    expect(() => builder.build(1n, 0n, events(2028))).toThrow(/^PacketBuilder::build called with 2028/);
    expect(() => builder.buildSubprotocol(1n, 0n, events(2028), 0, 3)).toThrow(
      /^PacketBuilder::build_subprotocol called with 2028/,
    );
    expect(counterOf(builder.build(1n, 0n, none))).toBe(0n);
  });

  test("8109 bytes throw, before a byte is written or a counter used", () => {
    const builder = make();
    const target = pattern(9000, 1);
    const refusal = expect.objectContaining({ code: "message-too-large", value: 8109, limit: 8108 });
    expect(() => builder.build(1n, 0n, events(1, 8105))).toThrow(refusal);
    expect(() => builder.buildInto(target, 0, packetFields(), events(1, 8105), 0, 1)).toThrow(refusal);
    expect(() => builder.buildHandshake(new Uint8Array(8109))).toThrow(refusal);
    expect(() => builder.handshakeInto(target, 0, new Uint8Array(8109))).toThrow(refusal);
    expect(target).toEqual(pattern(9000, 1));
    expect(counterOf(builder.build(1n, 0n, none))).toBe(0n);
  });

  test("a target without room throws, before a byte is written or a counter used", () => {
    const builder = make();
    const target = pattern(100, 1);
    const refusal = (size: number) => expect.objectContaining({ code: "buffer-too-small", value: size });
    expect(() => builder.buildInto(target, 17, packetFields(), none, 0, 0)).toThrow(refusal(84));
    expect(() => builder.heartbeatInto(target, 17)).toThrow(refusal(84));
    expect(() => builder.handshakeInto(target, 17, new Uint8Array(16))).toThrow(refusal(84));
    expect(target).toEqual(pattern(100, 1));
    expect(builder.heartbeatInto(target, 16)).toBe(HEARTBEAT_SIZE);
    expect(counterOf(target.subarray(16))).toBe(0n);
  });

  test("at the end of the counter space it refuses for good, before a byte is written", () => {
    const builder = make(new LocalCounter(2n ** 64n - 2n));
    expect(open(builder.buildHeartbeat())).toBe(0);
    const target = pattern(100, 1);
    for (let i = 0; i < 3; i++) {
      expect(() => builder.heartbeatInto(target, 0)).toThrow(
        expect.objectContaining({ code: "counter-exhausted" }),
      );
    }
    expect(target).toEqual(pattern(100, 1));
  });

  test("wouldFit and maxEventsForSize follow from them", () => {
    const builder = make();
    expect(builder.wouldFit(events(1, 1))).toBe(true);
    expect(builder.wouldFit(events(1, 8104))).toBe(true);
    expect(builder.wouldFit(events(1, 8105))).toBe(false);
    expect(builder.wouldFit(events(1, 8109))).toBe(false);
    expect([0, 60, 100, 8104, 8105].map((size) => builder.maxEventsForSize(size))).toEqual([
      2027, 126, 77, 1, 0,
    ]);
  });
});

test("heartbeats, data and control draw from one counter, strictly increasing; handshakes take none", () => {
  const builder = make();
  const packets = [
    builder.buildHeartbeat(),
    builder.build(1n, 0n, none),
    builder.buildHeartbeat(),
    builder.buildSubprotocol(2n, 0n, none, 0, 0x0b00),
    builder.buildHeartbeat(),
  ];
  builder.buildHandshake(pattern(48, 1));
  packets.push(builder.build(1n, 1n, none));
  expect(packets.map(counterOf)).toEqual([0n, 1n, 2n, 3n, 4n, 5n]);
});

test("counters carry from the low half into the high one", () => {
  const builder = make(new LocalCounter(0xffff_ffffn));
  expect([1, 2].map(() => counterOf(builder.buildHeartbeat()))).toEqual([0xffff_ffffn, 0x1_0000_0000n]);
});

test("a new key starts a new counter, or adopts a given one", () => {
  const builder = make();
  builder.buildHeartbeat();
  const other = pattern(32, 2);
  builder.setKey(other, 5n);
  const packet = builder.build(1n, 0n, none);
  expect(counterOf(packet)).toBe(0n);
  expect(open(packet, other, 5n)).toBe(0);
  expect(open(packet)).toBe(-1);
  expect(builder.sessionId).toBe(5n);
  builder.setKey(key, SESSION_ID, { counter: new LocalCounter(40n) });
  expect(counterOf(builder.buildHeartbeat())).toBe(40n);
});

test("a counter with an end hands out what is below it, and refuses for good then", () => {
  const counter = new LocalCounter(5n, 7n);
  const builder = make(counter);
  expect([1, 2].map(() => counterOf(builder.buildHeartbeat()))).toEqual([5n, 6n]);
  for (let i = 0; i < 3; i++) {
    expect(() => builder.buildHeartbeat()).toThrow(expect.objectContaining({ code: "counter-exhausted" }));
  }
  expect(() => new LocalCounter(8n, 7n)).toThrow(expect.objectContaining({ code: "invalid-size" }));
});

test("the counter of an epoch has its number in the high half, and ends in the middle of the low one", () => {
  for (const epoch of [0, 1, 0xffff_ffff]) {
    const builder = make(epochCounter(epoch));
    const first = BigInt(epoch) << 32n;
    expect([1, 2].map(() => counterOf(builder.buildHeartbeat()))).toEqual([first, first + 1n]);
    const end = first + BigInt(MAX_EPOCH_PACKETS);
    const last = make(new LocalCounter(end - 1n, end));
    expect(counterOf(last.buildHeartbeat())).toBe(end - 1n);
    expect(() => last.buildHeartbeat()).toThrow("used up");
  }
});

test("a builder goes over to another sealing key, which others may share, and leaves the old one as it was", () => {
  const other = pattern(32, 2);
  const [first, second] = [new SealingKey(key, SESSION_ID), new SealingKey(other, SESSION_ID)];
  const builder = new PacketBuilder(first);
  builder.buildHeartbeat();
  builder.useKey(second);
  expect(builder.usesKey(second)).toBe(true);
  const packet = builder.buildHeartbeat();
  expect(open(packet, other)).toBe(0);
  expect(counterOf(packet)).toBe(0n);
  expect(counterOf(new PacketBuilder(second).buildHeartbeat())).toBe(1n);
  expect(counterOf(new PacketBuilder(first).buildHeartbeat())).toBe(1n);
  second.retire();
  expect(() => builder.buildHeartbeat()).toThrow(expect.objectContaining({ code: "stale-generation" }));
});

test("a handshake packet needs no session", () => {
  const target = new Uint8Array(200);
  const message = pattern(48, 3);
  const length = writeHandshakePacket(target, 10, message);
  expect(target.subarray(10, 10 + length)).toEqual(make().buildHandshake(message));
  expect(decodeHeader(target.subarray(10))).toMatchObject({
    flags: PacketFlags.HANDSHAKE,
    sessionId: 0n,
    payloadLength: 48,
  });
});

test("a sealing key seals once per counter it took, and never again once it is retired", () => {
  const sealing = new SealingKey(key, 1n);
  const packet = make().buildHeartbeat();
  expect(() => sealing.seal(packet, 0, 0)).toThrow("was used");
  sealing.advance();
  sealing.seal(packet, 0, 0);
  expect(() => sealing.seal(packet, 0, 0)).toThrow(expect.objectContaining({ code: "stale-generation" }));
  sealing.advance();
  sealing.retire();
  sealing.retire();
  expect(() => sealing.seal(packet, 0, 0)).toThrow(expect.objectContaining({ code: "stale-generation" }));
  expect(() => sealing.advance()).toThrow(expect.objectContaining({ code: "stale-generation" }));
});

test("two sealing keys on one counter never seal with the same value, whatever the order of their steps", () => {
  const counter = new LocalCounter();
  const [first, second] = [new SealingKey(key, 1n, { counter }), new SealingKey(key, 1n, { counter })];
  const [a, b] = [make().buildHeartbeat(), make().buildHeartbeat()];
  first.advance();
  second.advance();
  second.seal(b, 0, 0);
  first.seal(a, 0, 0);
  expect([a, b].map(counterOf)).toEqual([0n, 1n]);
});

test("nothing about a builder or a sealing key leads to the tx key", () => {
  const sealing = new SealingKey(key, 1n);
  for (const object of [sealing, new PacketBuilder(sealing)]) {
    const prototype = Object.getOwnPropertyNames(Object.getPrototypeOf(object));
    const reachable = [...Object.values(object), ...prototype.map((name) => Reflect.get(object, name))];
    for (const value of reachable) expect(value).not.toBeInstanceOf(Uint8Array);
    for (const name of prototype) expect(name).not.toMatch(/^(tx|raw|get).*key$/i);
  }
});
