import { decodePacketPart, encodePacketPart, HEADER_SIZE, NetHeader, type PacketPart } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { PacketAssembly } from "../src/stream/packet-assembly.ts";

const PLAIN_TEXT = Uint8Array.from({ length: 3_000 }, (_, i) => i);

function part(index: number, sequence = 5, changes: object = {}, plainText = PLAIN_TEXT): PacketPart {
  const packet = {
    streamIdLo: 7,
    streamIdHi: 8,
    sequenceLo: sequence,
    sequenceHi: 0,
    flags: 1,
    eventCount: 2,
    ...changes,
  };
  return decodePacketPart(encodePacketPart(packet, plainText, index)) as PacketPart;
}

describe("a packet in parts", () => {
  it("is complete with the last part that was missing, in whatever order they come", () => {
    const assembly = new PacketAssembly();
    expect(assembly.take(part(2), 0)).toBeUndefined();
    expect(assembly.take(part(0), 1)).toBeUndefined();
    expect(assembly.take(part(2), 2)).toBeUndefined();
    const packet = assembly.take(part(1), 3) as Uint8Array;
    expect(packet.subarray(HEADER_SIZE)).toEqual(PLAIN_TEXT);
    const header = new NetHeader().wrap(packet);
    expect([header.streamIdLo, header.streamIdHi, header.sequenceLo, header.sequenceHi]).toEqual([
      7, 8, 5, 0,
    ]);
    expect([header.flags, header.eventCount, header.payloadLength, header.subprotocolId]).toEqual([
      1, 2, 3_000, 0,
    ]);
    expect(assembly.size).toBe(0);
  });

  it("is not mixed with another that claims the same place", () => {
    for (const [changes, plainText] of [
      [{ eventCount: 3 }, PLAIN_TEXT],
      [{ flags: 0 }, PLAIN_TEXT],
      [{}, PLAIN_TEXT.subarray(1)],
    ] as const) {
      const assembly = new PacketAssembly();
      assembly.take(part(0), 0);
      assembly.take(part(1), 0);
      expect(assembly.take(part(2, 5, changes, plainText), 0)).toBeUndefined();
      assembly.take(part(0), 0);
      expect(assembly.size).toBe(1);
    }
  });

  it("is forgotten when its parts come too far apart, and when its stream is", () => {
    const assembly = new PacketAssembly();
    assembly.take(part(0), 0);
    assembly.take(part(1), 10_000);
    expect(assembly.take(part(2), 20_001)).toBeUndefined();
    expect(assembly.take(part(0), 20_002)).toBeUndefined();
    assembly.take(part(0, 6, { streamIdLo: 9 }), 20_003);
    assembly.forget(7, 8);
    expect(assembly.size).toBe(1);
  });

  it("makes room for others when it has waited longest of 32", () => {
    const assembly = new PacketAssembly();
    for (let sequence = 0; sequence < 32; sequence++) assembly.take(part(0, sequence), 0);
    assembly.take(part(1, 0), 1);
    assembly.take(part(0, 100), 2);
    expect(assembly.size).toBe(32);
    // The first has had a part since; the second had to go.
    expect(assembly.take(part(2, 0), 3)).toBeDefined();
    assembly.take(part(1, 1), 4);
    expect(assembly.take(part(2, 1), 5)).toBeUndefined();
  });
});
