import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  AAD_SIZE,
  decodeHeader,
  encodeHeader,
  HEADER_SIZE,
  type HeaderFields,
  HeaderOffset,
  HeaderVerdict,
  hasFlags,
  isValidLength,
  NetHeader,
  PacketFlags,
  validateHeader,
  withFlags,
  withoutFlags,
  writeAad,
} from "../src/index.ts";
import { hex } from "./hex.ts";

const sample: HeaderFields = {
  version: 1,
  flags: 1,
  priority: 7,
  hopTtl: 32,
  hopCount: 0,
  fragFlags: 1,
  subprotocolId: 0x0100,
  channelHash: 0xabcd,
  noncePrefix: 0x42424242,
  counter: 0x4242424242424242n,
  sessionId: 0x1234567890abcdefn,
  streamId: 0xfedcba0987654321n,
  sequence: 42n,
  originHash: 0xdeadbeefn,
  subnetId: 0x12345678,
  fragmentId: 1,
  fragmentOffset: 512,
  payloadLength: 1024,
  eventCount: 10,
};

function aad(header: Uint8Array): string {
  const target = new Uint8Array(AAD_SIZE);
  writeAad(target, 0, header, 0);
  return hex(target);
}

const u8 = fc.integer({ min: 0, max: 0xff });
const u16 = fc.integer({ min: 0, max: 0xffff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const anyHeader: fc.Arbitrary<HeaderFields> = fc.record({
  version: u8,
  flags: u8,
  priority: u8,
  hopTtl: u8,
  hopCount: u8,
  fragFlags: u8,
  subprotocolId: u16,
  channelHash: u16,
  noncePrefix: u32,
  counter: u64,
  sessionId: u64,
  streamId: u64,
  sequence: u64,
  originHash: u64,
  subnetId: u32,
  fragmentId: u16,
  fragmentOffset: u16,
  payloadLength: u16,
  eventCount: u16,
});

describe("the header", () => {
  test("the published example has the published bytes and authenticated data", () => {
    const bytes = encodeHeader(sample);
    expect(hex(bytes)).toBe(
      "454e0101072000010001cdab424242424242424242424242efcdab90785634122143658709badcfe2a00000000000000efbeadde00000000785634120100000200040a00",
    );
    expect(aad(bytes)).toBe(
      "454e0101072000010001cdabefcdab90785634122143658709badcfe2a00000000000000efbeadde00000000785634120100000200040a00",
    );
  });

  test("every field survives the round trip through bytes and through the window", () => {
    fc.assert(
      fc.property(anyHeader, u8, (fields, at) => {
        const bytes = encodeHeader(fields);
        expect(decodeHeader(bytes)).toEqual(fields);
        const buffer = new Uint8Array(at + HEADER_SIZE + 3).fill(0xee);
        const header = new NetHeader().wrap(buffer, at).clear();
        const { version, ...rest } = fields;
        buffer[at + HeaderOffset.VERSION] = version;
        Object.assign(header, rest);
        expect(buffer.subarray(at, at + HEADER_SIZE)).toEqual(bytes);
        for (const [name, value] of Object.entries(rest))
          expect(header[name as keyof typeof rest]).toBe(value);
        expect(buffer.subarray(at + HEADER_SIZE)).toEqual(new Uint8Array(3).fill(0xee));
      }),
    );
  });

  test("the halves of a 64-bit field are its halves, in both directions", () => {
    const header = new NetHeader().wrap(new Uint8Array(HEADER_SIZE)).clear();
    const names = ["counter", "sessionId", "streamId", "sequence", "originHash"] as const;
    for (const name of names) {
      header[name] = 0x89abcdef_fedcba98n;
      expect([header[`${name}Lo`], header[`${name}Hi`]]).toEqual([0xfedcba98, 0x89abcdef]);
      header[`${name}Lo`] = 1;
      header[`${name}Hi`] = 0xffff_ffff;
      expect(header[name]).toBe(0xffffffff_00000001n);
    }
  });

  test("origins that differ above bit 32 stay different", () => {
    const hashes = [0xdeadbeefn, 0x42424242deadbeefn, 0xcafebabedeadbeefn];
    for (const originHash of hashes)
      expect(decodeHeader(encodeHeader({ originHash }))?.originHash).toBe(originHash);
  });

  test("the authenticated data ignores the hop count and the nonce, and nothing else", () => {
    const bytes = encodeHeader(sample);
    const before = aad(bytes);
    for (let bit = 0; bit < HEADER_SIZE * 8; bit++) {
      const offset = bit >> 3;
      const flipped = bytes.with(offset, (bytes[offset] as number) ^ (1 << (bit & 7)));
      const isCovered =
        offset !== HeaderOffset.HOP_COUNT &&
        (offset < HeaderOffset.NONCE_PREFIX || offset >= HeaderOffset.SESSION_ID);
      expect(aad(flipped) !== before, `bit ${bit}`).toBe(isCovered);
    }
  });

  test("a packet shorter than a header is short, whatever it holds", () => {
    const bytes = encodeHeader({});
    for (const length of [0, 1, 67]) {
      expect(validateHeader(bytes, 0, length)).toBe(HeaderVerdict.SHORT);
      expect(decodeHeader(bytes.subarray(0, length))).toBeUndefined();
    }
    expect(validateHeader(new Uint8Array(HEADER_SIZE).fill(0xab), 0, HEADER_SIZE)).toBe(
      HeaderVerdict.BAD_MAGIC,
    );
  });

  test("the first failed check names the verdict", () => {
    const verdict = (bytes: Uint8Array) => validateHeader(bytes, 0, bytes.length);
    const worst = encodeHeader({ version: 2, payloadLength: 8109, eventCount: 2028 });
    expect(verdict(worst.with(0, 0x4e))).toBe(HeaderVerdict.BAD_MAGIC);
    expect(verdict(worst)).toBe(HeaderVerdict.BAD_VERSION);
    expect(verdict(worst.with(2, 1))).toBe(HeaderVerdict.PAYLOAD_LENGTH);
    expect(verdict(encodeHeader({ payloadLength: 8108, eventCount: 2028 }))).toBe(HeaderVerdict.EVENT_COUNT);
    expect(verdict(encodeHeader({ payloadLength: 8108, eventCount: 2027 }))).toBe(HeaderVerdict.OK);
    expect(verdict(encodeHeader({ flags: 0xff }))).toBe(HeaderVerdict.OK);
  });

  test("a header behind a routing header is read at its offset", () => {
    const datagram = new Uint8Array(18 + 84);
    datagram.set(encodeHeader({ payloadLength: 0 }), 18);
    expect(validateHeader(datagram, 18, 84)).toBe(HeaderVerdict.OK);
    expect(isValidLength(datagram, 18, 84)).toBe(true);
  });

  test("a packet has valid length only with exactly its payload and the tag", () => {
    const bytes = new Uint8Array(200);
    bytes.set(encodeHeader({ payloadLength: 10 }));
    expect([93, 94, 95].map((length) => isValidLength(bytes, 0, length))).toEqual([false, true, false]);
  });

  test("a field that does not fit its width is refused by name", () => {
    const bad: Partial<HeaderFields>[] = [
      { flags: 256 },
      { version: -1 },
      { channelHash: 65_536 },
      { subnetId: 0.5 },
      { sessionId: 1n << 64n },
      { sequence: -1n },
      { streamId: 5 as unknown as bigint },
    ];
    for (const fields of bad) {
      const [name = ""] = Object.keys(fields);
      expect(() => encodeHeader(fields), name).toThrow(expect.objectContaining({ code: "invalid-argument" }));
      expect(() => encodeHeader(fields)).toThrow(name);
    }
  });

  test("flags combine and clear one by one", () => {
    const both = withFlags(PacketFlags.RELIABLE, PacketFlags.PRIORITY);
    expect(hasFlags(both, PacketFlags.RELIABLE) && hasFlags(both, PacketFlags.PRIORITY)).toBe(true);
    expect(hasFlags(both, PacketFlags.HANDSHAKE)).toBe(false);
    expect(withoutFlags(both, PacketFlags.RELIABLE)).toBe(PacketFlags.PRIORITY);
  });
});
