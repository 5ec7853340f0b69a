import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { parsePacket } from "../src/index.ts";
import { packet } from "./packets.ts";

const SOURCE = SocketAddress.parse("10.0.0.1:9001");

function changed(bytes: Uint8Array, offset: number, value: number): Uint8Array {
  const copy = bytes.slice();
  copy[offset] = value;
  return copy;
}

describe("parsePacket", () => {
  it("gives header, payload and source of a packet whose length is right", () => {
    const parsed = parsePacket(packet(10, 26), SOURCE);
    expect(parsed?.expectedPayloadLength).toBe(26);
    expect(parsed?.isValidLength).toBe(true);
    expect(parsed?.source).toBe(SOURCE);
    expect(parsed?.header.payloadLength).toBe(10);
    expect(parsed?.payload).toEqual(new Uint8Array(26).fill(0xab));
  });

  it("parses a packet one byte longer or shorter than announced, as one of invalid length", () => {
    for (const trailing of [25, 27]) {
      expect(parsePacket(packet(10, trailing), SOURCE)?.isValidLength).toBe(false);
    }
  });

  it("copies nothing", () => {
    const bytes = packet(0, 16);
    const parsed = parsePacket(bytes, SOURCE);
    bytes[68] = 0x77;
    expect(parsed?.payload[0]).toBe(0x77);
    expect(parsed?.header.bytes).toBe(bytes);
  });

  it("finds no packet in what is too short or garbage", () => {
    for (const length of [0, 1, 67])
      expect(parsePacket(packet(0, 0).subarray(0, length), SOURCE)).toBeUndefined();
    expect(parsePacket(new Uint8Array(68).fill(0x5a), SOURCE)).toBeUndefined();
  });

  it("finds no packet behind a wrong magic or version", () => {
    expect(parsePacket(changed(packet(0, 16), 0, 0x4e), SOURCE)).toBeUndefined();
    expect(parsePacket(changed(packet(0, 16), 2, 0), SOURCE)).toBeUndefined();
    expect(parsePacket(changed(packet(0, 16), 2, 2), SOURCE)).toBeUndefined();
  });

  it("accepts the largest payload length and event count, and nothing above", () => {
    expect(parsePacket(packet(8108, 16), SOURCE)).toBeDefined();
    expect(parsePacket(packet(8109, 16), SOURCE)).toBeUndefined();
    expect(parsePacket(packet(0, 16, 2027), SOURCE)).toBeDefined();
    expect(parsePacket(packet(0, 16, 2028), SOURCE)).toBeUndefined();
  });

  it("parses a heartbeat and a handshake with any tail", () => {
    const heartbeat = parsePacket(packet(0, 16), SOURCE);
    expect([heartbeat?.payload.length, heartbeat?.isValidLength]).toEqual([16, true]);
    expect(parsePacket(packet(0, 99), SOURCE)?.payload.length).toBe(99);
    expect(parsePacket(packet(0, 0), SOURCE)?.payload.length).toBe(0);
  });

  it("survives a flood of 100 000 random datagrams and finds exactly the valid headers", () => {
    let state = 7;
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      return (state >>> 16) & 255;
    };
    let found = 0;
    for (let run = 0; run < 100_000; run++) {
      const bytes = new Uint8Array(next() % 96);
      for (let i = 0; i < bytes.length; i++) bytes[i] = next();
      if (next() < 200) bytes.set([0x45, 0x4e, 1].slice(0, bytes.length));
      if (bytes.length > 67 && next() < 200) bytes.set([next() % 33, next(), next() % 9], 65);
      const parsed = parsePacket(bytes, SOURCE);
      const payloadLength = (bytes[64] as number) | ((bytes[65] as number) << 8);
      const eventCount = (bytes[66] as number) | ((bytes[67] as number) << 8);
      const isPacket =
        bytes.length >= 68 &&
        bytes[0] === 0x45 &&
        bytes[1] === 0x4e &&
        bytes[2] === 1 &&
        payloadLength <= 8108 &&
        eventCount <= 2027;
      if ((parsed !== undefined) !== isPacket) expect.fail(`run ${run}`);
      if (parsed !== undefined) {
        found += 1;
        if (parsed.payload.length !== bytes.length - 68) expect.fail(`run ${run}`);
      }
    }
    expect(found).toBeGreaterThan(1000);
  });
});
