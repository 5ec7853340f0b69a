import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ROUTING_HEADER_SIZE } from "../src/constants.ts";
import {
  decodeRoutingHeader,
  encodeRoutingHeader,
  forwardInPlace,
  isRoutingHeader,
  RoutingFlags,
  RoutingHeader,
  type RoutingHeaderFields,
  writeRoutingHeader,
} from "../src/routing-header.ts";
import { high32, low32 } from "../src/u64.ts";
import vectors from "./vectors/wire.json" with { type: "json" };

interface VectorFields {
  readonly dest_id: string;
  readonly src_id: number;
  readonly ttl: number;
  readonly hop_count: number;
  readonly flags: number;
  readonly reserved: number;
  readonly is_expired: boolean;
  readonly is_control: boolean;
  readonly is_priority: boolean;
}

function fromHex(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromVector(fields: VectorFields): RoutingHeaderFields {
  return {
    ttl: fields.ttl,
    hopCount: fields.hop_count,
    flags: fields.flags,
    reserved: fields.reserved,
    sourceId: fields.src_id,
    destination: BigInt(fields.dest_id),
  };
}

const fields: fc.Arbitrary<RoutingHeaderFields> = fc.record({
  ttl: fc.nat(255),
  hopCount: fc.nat(255),
  flags: fc.nat(15),
  reserved: fc.nat(255),
  sourceId: fc.nat(0xffffffff),
  destination: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});

describe("reference vectors", () => {
  const encoded = vectors.routing_header as { name: string; fields: VectorFields; bytes: string }[];
  it.each(encoded)("encodes $name", (each) => {
    expect(toHex(encodeRoutingHeader(fromVector(each.fields)))).toBe(each.bytes);
    const header = new RoutingHeader().wrap(fromHex(each.bytes));
    expect({
      isExpired: header.isExpired,
      isControl: (header.flags & RoutingFlags.CONTROL) !== 0,
      isPriority: (header.flags & RoutingFlags.PRIORITY) !== 0,
    }).toEqual({
      isExpired: each.fields.is_expired,
      isControl: each.fields.is_control,
      isPriority: each.fields.is_priority,
    });
  });

  const decoded = vectors.routing_header_decode as {
    name: string;
    bytes: string;
    parsed: VectorFields | null;
    reencoded: string | null;
  }[];
  it.each(decoded)("decodes $name", ({ bytes, parsed, reencoded }) => {
    const header = decodeRoutingHeader(fromHex(bytes));
    expect(header).toEqual(parsed === null ? undefined : fromVector(parsed));
    expect(header === undefined ? null : toHex(encodeRoutingHeader(header))).toBe(reencoded);
  });

  const forwarded = vectors.routing_header_forward as {
    ttl: number;
    hop_count: number;
    steps: { returned: boolean; ttl: number; hop_count: number; is_expired: boolean }[];
  }[];
  it.each(forwarded)("forwards from ttl $ttl, hop $hop_count", ({ ttl, hop_count, steps }) => {
    const bytes = encodeRoutingHeader({
      ttl,
      hopCount: hop_count,
      flags: 0,
      reserved: 0,
      sourceId: 1,
      destination: 2n,
    });
    const header = new RoutingHeader().wrap(bytes);
    for (const step of steps) {
      expect({
        returned: forwardInPlace(bytes, 0),
        ttl: header.ttl,
        hop_count: header.hopCount,
        is_expired: header.isExpired,
      }).toEqual(step);
    }
  });
});

describe("routing header", () => {
  it("round-trips every field in exactly 18 bytes", () => {
    fc.assert(
      fc.property(fields, (header) => {
        const bytes = encodeRoutingHeader(header);
        expect(bytes.length).toBe(ROUTING_HEADER_SIZE);
        expect(decodeRoutingHeader(bytes)).toEqual(header);
      }),
    );
  });

  it("keeps its magic in front even when an id holds the Net magic", () => {
    for (const destination of [0xdeadbeefffff4e45n, 0x4e45n, 0x454en]) {
      const bytes = encodeRoutingHeader({
        ttl: 1,
        hopCount: 0,
        flags: 0,
        reserved: 0,
        sourceId: 0x4e454e45,
        destination,
      });
      expect(toHex(bytes.subarray(0, 2))).toBe("5254");
      expect(decodeRoutingHeader(bytes)?.destination).toBe(destination);
    }
  });

  it("is not found in 17 bytes, behind the Net magic or behind FF FF", () => {
    const bytes = encodeRoutingHeader({
      ttl: 8,
      hopCount: 0,
      flags: 0,
      reserved: 0,
      sourceId: 1,
      destination: 2n,
    });
    expect(decodeRoutingHeader(bytes.subarray(0, 17))).toBeUndefined();
    for (const magic of ["454e", "ffff", "5245"]) {
      const other = bytes.slice();
      other.set(fromHex(magic));
      expect(isRoutingHeader(other, 0, other.length)).toBe(false);
      expect(decodeRoutingHeader(other)).toBeUndefined();
    }
    expect(isRoutingHeader(bytes, 0, 18)).toBe(true);
    expect(isRoutingHeader(bytes, 0, 17)).toBe(false);
    expect(isRoutingHeader(bytes, 0, 0)).toBe(false);
  });

  it("overwrites exactly 18 bytes of a larger buffer, the same as a fresh encoding", () => {
    const target = new Uint8Array(40).fill(0xa5);
    const destination = 0x1122334455667788n;
    writeRoutingHeader(target, 7, 8, 0xff, 0xaabbccdd, low32(destination), high32(destination));
    const fresh = encodeRoutingHeader({
      ttl: 8,
      hopCount: 0,
      flags: 15,
      reserved: 0,
      sourceId: 0xaabbccdd,
      destination,
    });
    expect(toHex(target.subarray(7, 25))).toBe(toHex(fresh));
    const around = [...target.subarray(0, 7), ...target.subarray(25)];
    expect(around.every((byte) => byte === 0xa5)).toBe(true);
  });

  it.each([
    { ttl: 256 },
    { hopCount: -1 },
    { flags: 1.5 },
    { reserved: 256 },
    { sourceId: 2 ** 32 },
    { destination: -1n },
    { destination: 2n ** 64n },
  ])("refuses to encode a field that does not fit: %o", (field) => {
    const valid = { ttl: 8, hopCount: 0, flags: 0, reserved: 0, sourceId: 1, destination: 2n };
    expect(() => encodeRoutingHeader({ ...valid, ...field })).toThrow(
      expect.objectContaining({ code: "invalid-argument" }),
    );
  });

  it("throws instead of writing a part of a header", () => {
    const target = new Uint8Array(17).fill(0xa5);
    const tooSmall = expect.objectContaining({ code: "buffer-too-small" });
    expect(() => writeRoutingHeader(target, 0, 8, 0, 1, 2, 3)).toThrow(tooSmall);
    expect(() => writeRoutingHeader(new Uint8Array(18), 1, 8, 0, 1, 2, 3)).toThrow(tooSmall);
    expect(() => writeRoutingHeader(new Uint8Array(18), -1, 8, 0, 1, 2, 3)).toThrow(tooSmall);
    expect(target.every((byte) => byte === 0xa5)).toBe(true);
  });

  it("leaves a reader where it was when there is no room for a header", () => {
    const bytes = new Uint8Array(30);
    writeRoutingHeader(bytes, 5, 9, RoutingFlags.PRIORITY, 1, 2, 3);
    const header = new RoutingHeader().wrap(bytes, 5);
    expect(() => header.wrap(new Uint8Array(17))).toThrow(
      expect.objectContaining({ code: "buffer-too-small" }),
    );
    expect([header.ttl, header.flags, header.destinationLo, header.destinationHi]).toEqual([9, 4, 2, 3]);
  });

  it("drops unknown flag bits when forwarding and keeps the reserved byte", () => {
    const bytes = fromHex("525403fff55addccbbaa8877665544332211ee");
    const header = new RoutingHeader().wrap(bytes);
    expect([header.flags, header.hasUnknownFlags]).toEqual([5, true]);
    expect(forwardInPlace(bytes, 0)).toBe(true);
    expect(toHex(bytes)).toBe("525402ff055addccbbaa8877665544332211ee");
    expect(header.hasUnknownFlags).toBe(false);
  });

  it("changes nothing when the ttl is used up", () => {
    const bytes = fromHex("525400fff55addccbbaa8877665544332211");
    expect(forwardInPlace(bytes, 0)).toBe(false);
    expect(toHex(bytes)).toBe("525400fff55addccbbaa8877665544332211");
  });

  it("decodes any 100 000 random byte strings without throwing", () => {
    let state = 12_345;
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
      return state >>> 16;
    };
    for (let run = 0; run < 100_000; run++) {
      const bytes = Uint8Array.from({ length: next() % 24 }, next);
      if (next() % 2 === 0) bytes.set([0x52, 0x54].slice(0, bytes.length));
      const header = decodeRoutingHeader(bytes);
      expect(header !== undefined).toBe(bytes.length >= 18 && bytes[0] === 0x52 && bytes[1] === 0x54);
    }
  });
});
