import fc from "fast-check";
import { describe, expect, test } from "vitest";
import * as wire from "../src/index.ts";
import { hex, unhex } from "./hex.ts";

const u64 = fc.bigInt({ min: 0n, max: wire.MAX_U64 });
const bytesUpTo = (maxLength: number) => fc.uint8Array({ maxLength });

describe("integers", () => {
  test("u16, u32 and u64 survive the round trip at any offset", () => {
    fc.assert(
      fc.property(u64, fc.nat(9), (value, offset) => {
        const bytes = new Uint8Array(20);
        wire.writeU64(bytes, offset, value);
        expect(wire.readU64(bytes, offset)).toBe(value);
        expect(wire.readU32(bytes, offset)).toBe(wire.low32(value));
        expect(wire.readU32(bytes, offset + 4)).toBe(wire.high32(value));
        wire.writeU16(bytes, offset, wire.high32(value));
        expect(wire.readU16(bytes, offset)).toBe(wire.high32(value) & 0xffff);
        expect(wire.joinU64(wire.low32(value), wire.high32(value))).toBe(value);
        expect(wire.joinU64(wire.low32(value) | 0, wire.high32(value) | 0)).toBe(value);
      }),
    );
  });

  test("reads past the end see zeros", () => {
    expect(wire.readU64(Uint8Array.of(1, 2), 0)).toBe(0x0201n);
    expect(wire.readU16(new Uint8Array(0), 5)).toBe(0);
  });

  test("a u64 is a number up to 2^53 and infinite above", () => {
    expect(wire.u64ToNumber(0xffff_ffff, 0x1f_ffff)).toBe(Number.MAX_SAFE_INTEGER);
    expect(wire.u64ToNumber(0, 0x20_0000)).toBe(2 ** 53);
    expect(wire.u64ToNumber(1, 0x20_0000)).toBe(Number.POSITIVE_INFINITY);
    expect(wire.u64ToNumber(0, 0x20_0001)).toBe(Number.POSITIVE_INFINITY);
  });

  test("a caller's value outside the u64 range is refused with the value", () => {
    expect(() => wire.assertU64(-1n)).toThrow("non-negative");
    expect(() => wire.assertU64(1n << 64n, "streamId")).toThrow("streamId is outside the u64 range");
    expect(() => wire.assertU64(1)).toThrow("u64 range");
    expect(() => wire.assertU64(-1n)).toThrow(
      expect.objectContaining({ code: "invalid-argument", value: -1n }),
    );
    expect(() => wire.assertU64(wire.MAX_U64)).not.toThrow();
  });
});

describe("event frames", () => {
  test("events survive the round trip in order", () => {
    fc.assert(
      fc.property(fc.array(bytesUpTo(60), { maxLength: 40 }), (events) => {
        const payload = wire.encodeEventFrames(events);
        expect(payload.length).toBe(wire.eventFramesSize(events));
        expect(wire.decodeEventFrames(payload, events.length)).toEqual(events);
      }),
    );
  });

  test("three 6-byte events take 30 bytes", () => {
    const event = unhex("010203040506");
    const payload = wire.encodeEventFrames([event, event, event]);
    expect(payload.length).toBe(30);
    expect(wire.decodeEventFrames(payload, 3)).toEqual([event, event, event]);
  });

  test("an event of 64 KiB keeps its length in a frame of its own", () => {
    const event = new Uint8Array(65_536).fill(5);
    const target = new Uint8Array(65_540);
    expect(wire.writeEventFrame(target, 0, event)).toBe(65_540);
    expect(wire.readU32(target, 0)).toBe(65_536);
    expect(wire.decodeEventFrames(target, 1)).toEqual([event]);
  });

  test("2027 empty events and 8104 bytes fit into a packet, one more does not", () => {
    const empty = new Uint8Array(0);
    expect(wire.encodeEventFrames(new Array<Uint8Array>(2027).fill(empty)).length).toBe(8108);
    expect(() => wire.encodeEventFrames(new Array<Uint8Array>(2028).fill(empty))).toThrow(
      expect.objectContaining({ code: "too-many-events", value: 2028 }),
    );
    expect(wire.encodeEventFrames([new Uint8Array(8104)]).length).toBe(8108);
    expect(() => wire.encodeEventFrames([new Uint8Array(8105)])).toThrow(
      expect.objectContaining({ code: "message-too-large", value: 8109 }),
    );
  });

  test("a frame that does not fit is refused and the buffer left alone", () => {
    const target = new Uint8Array(10).fill(3);
    for (const offset of [2, -1]) {
      expect(() => wire.writeEventFrame(target, offset, new Uint8Array(5))).toThrow(
        expect.objectContaining({ code: "buffer-too-small" }),
      );
    }
    expect(target).toEqual(new Uint8Array(10).fill(3));
  });

  test("a count of 65535 on an empty payload yields nothing", () => {
    expect(wire.decodeEventFrames(new Uint8Array(0), 65_535)).toEqual([]);
  });

  test("damage ends the list after the whole events, and the reader says so", () => {
    const payload = wire.encodeEventFrames([unhex("01"), unhex("0203"), unhex("040506")]);
    const reader = new wire.EventFrameReader();
    const read = (length: number, count: number) => {
      reader.wrap(payload, 0, length, count);
      let frames = 0;
      while (reader.next()) frames++;
      expect(reader.next()).toBe(false);
      expect(reader.index).toBe(frames - 1);
      return [frames, reader.short];
    };
    expect(read(payload.length, 3)).toEqual([3, false]);
    expect(read(payload.length, 2)).toEqual([2, false]);
    expect(read(payload.length, 0)).toEqual([0, false]);
    expect(read(payload.length, 4)).toEqual([3, true]);
    expect(read(payload.length - 1, 3)).toEqual([2, true]);
    expect(read(13, 3)).toEqual([2, true]);
    expect(read(1_000_000, 3)).toEqual([3, false]);
  });

  test("a length near 2^32 is damage", () => {
    expect(wire.decodeEventFrames(unhex("00000000ffffffff00"), 2)).toEqual([new Uint8Array(0)]);
  });
});

describe("control messages", () => {
  test("a NACK of 100 and bits 0, 2, 5, 7 asks for 100, 101, 103, 106, 108", () => {
    const nack = { nextExpected: 100n, missingBitmap: 0b1010_0101n };
    expect(wire.decodeNack(wire.encodeNack(nack))).toEqual(nack);
    expect(wire.missingSequences(nack)).toEqual([100n, 101n, 103n, 106n, 108n]);
  });

  test("stream control messages survive the round trip, and only in their exact length", () => {
    fc.assert(
      fc.property(u64, u64, u64, (streamId, a, b) => {
        const window = { streamId, totalConsumed: a, ackSequence: b };
        const nack = { streamId, nextExpected: a, missingBitmap: b };
        expect(wire.decodeStreamWindow(wire.encodeStreamWindow(window))).toEqual(window);
        expect(wire.decodeStreamNack(wire.encodeStreamNack(nack))).toEqual(nack);
        expect(wire.decodeStreamReset(wire.encodeStreamReset({ streamId }))).toEqual({ streamId });
      }),
    );
    for (const length of [0, 7, 9, 15, 17, 23, 25]) {
      const bytes = new Uint8Array(length);
      expect(wire.decodeStreamWindow(bytes)).toBeUndefined();
      expect(wire.decodeStreamNack(bytes)).toBeUndefined();
      expect(wire.decodeStreamReset(bytes)).toBeUndefined();
      expect(wire.decodeNack(bytes)).toBeUndefined();
    }
  });

  test("each field of a window lies at its offset", () => {
    const window = { streamId: 1n, totalConsumed: 1n, ackSequence: 1n };
    expect(hex(wire.encodeStreamWindow(window))).toBe("0100000000000000".repeat(3));
  });

  test("a field outside the u64 range is refused by name", () => {
    expect(() => wire.encodeStreamReset({ streamId: -1n })).toThrow("streamId must be non-negative");
    expect(() =>
      wire.encodeStreamWindow({ streamId: 1n, totalConsumed: 1n << 64n, ackSequence: 0n }),
    ).toThrow("totalConsumed");
    expect(() => wire.encodeNack({ nextExpected: 0n, missingBitmap: -1n })).toThrow("missingBitmap");
  });
});

describe("handshake payloads", () => {
  test("node id and features survive the round trip", () => {
    const all =
      wire.PeerFeature.ROUTED_HEARTBEAT |
      wire.PeerFeature.SELECTIVE_REPAIR |
      wire.PeerFeature.STREAM_FIN |
      wire.PeerFeature.FORWARD_SECRET |
      wire.PeerFeature.REKEY;
    fc.assert(
      fc.property(u64, fc.integer({ min: 0, max: 0xffff_ffff }), (nodeId, features) => {
        expect(wire.decodeHandshakePayload(wire.encodeHandshakePayload({ nodeId, features }))).toEqual({
          nodeId,
          features,
        });
      }),
    );
    expect(hex(wire.encodeHandshakePayload({ nodeId: 1n, features: all }))).toBe(
      "01000000000000006e6d01041f000000",
    );
  });

  test("without features the payload is the node id that Net reads", () => {
    expect(hex(wire.encodeHandshakePayload({ nodeId: 258n }))).toBe("0201000000000000");
    expect(wire.decodeHandshakePayload(unhex("0201000000000000"))).toEqual({ nodeId: 258n, features: 0 });
  });

  test("a payload that is too short names nobody", () => {
    for (const length of [0, 7])
      expect(wire.decodeHandshakePayload(new Uint8Array(length))).toEqual({ features: 0 });
  });

  test("a damaged or foreign block means no features", () => {
    const id = "0100000000000000";
    for (const block of [
      "6e",
      "6e6d01",
      "6e6d0104070000",
      "6e6d02040700000000",
      "6e6d010307000000",
      "6e6e010407000000",
      "6f6d010407000000",
      "6e6d010507000000",
    ]) {
      expect(wire.decodeHandshakePayload(unhex(id + block)), block).toEqual({ nodeId: 1n, features: 0 });
    }
    expect(wire.decodeHandshakePayload(unhex(`${id}6e6d01050700000099aa`)).features).toBe(7);
  });

  test("a caller's wrong values are refused", () => {
    expect(() => wire.encodeHandshakePayload({ nodeId: -1n })).toThrow("nodeId");
    expect(() => wire.encodeHandshakePayload({ nodeId: 1n, features: -1 })).toThrow("features");
  });
});

describe("telling datagrams apart", () => {
  const { DatagramKind, classifyDatagram } = wire;
  const datagram = (length: number, prefix: string) => {
    const bytes = new Uint8Array(length);
    bytes.set(unhex(prefix));
    return bytes;
  };

  test("the magic and the length decide", () => {
    const cases: [Uint8Array, wire.DatagramKind][] = [
      [datagram(0, ""), DatagramKind.UNKNOWN],
      [datagram(1, "45"), DatagramKind.UNKNOWN],
      [datagram(2, "454e"), DatagramKind.DIRECT],
      [datagram(84, "454e01"), DatagramKind.DIRECT],
      [datagram(14, "5048"), DatagramKind.KEEP_ALIVE],
      [datagram(13, "5048"), DatagramKind.UNKNOWN],
      [datagram(15, "5048"), DatagramKind.UNKNOWN],
      [datagram(14, "454e"), DatagramKind.DIRECT],
      [datagram(86, "5254"), DatagramKind.ROUTED],
      [datagram(85, "5254"), DatagramKind.UNKNOWN],
      [datagram(72, "ffff"), DatagramKind.PINGWAVE],
      [datagram(73, "ffff"), DatagramKind.UNKNOWN],
      [datagram(72, "5048"), DatagramKind.PINGWAVE],
      [datagram(72, "5254"), DatagramKind.PINGWAVE],
      [datagram(72, "454e"), DatagramKind.DIRECT],
    ];
    for (const [bytes, kind] of cases) expect(classifyDatagram(bytes), hex(bytes)).toBe(kind);
  });

  test("72 bytes with a health above 3 are no pingwave", () => {
    for (const health of [4, 255]) {
      expect(classifyDatagram(datagram(72, "ffff").with(63, health))).toBe(DatagramKind.UNKNOWN);
    }
  });

  test("a destination whose id ends like a packet's magic is still routed", () => {
    expect(classifyDatagram(datagram(120, "525408000000454e454e454e454e454e454e"))).toBe(DatagramKind.ROUTED);
  });

  test("a longer buffer counts by the given length", () => {
    expect(classifyDatagram(datagram(8210, "5048"), 14)).toBe(DatagramKind.KEEP_ALIVE);
  });
});

describe("pingwaves", () => {
  const fields: wire.PingwaveFields = {
    originId: wire.graphId(0x8edf34ef4ac5d453n),
    sequence: 1n,
    ttl: wire.PINGWAVE_TTL,
    hopCount: 0,
    timestampUs: 1_700_000_000_000_000n,
    capabilityHash: 0n,
    capabilityVersion: 0,
    load: 0,
    health: wire.NodeHealth.HEALTHY,
    hasGpu: false,
    modelSlots: 0,
    memoryTier: 0,
    tools: 0,
    capabilityFlags: 0,
  };

  test("the published example has the published bytes", () => {
    expect(hex(wire.encodePingwave(fields))).toBe(
      `53d4c54aef34df8e${"00".repeat(24)}0100000000000000030000401e18240a06${"00".repeat(23)}00`.slice(
        0,
        144,
      ),
    );
  });

  test("the window shows what decides about forwarding", () => {
    const bytes = wire.encodePingwave({ ...fields, sequence: 0x5_0000_0007n, hopCount: 15 });
    const view = new wire.PingwaveView().wrap(bytes);
    expect(view.origin).toBe(0x8edf34ef4ac5d453n);
    expect([view.originLo, view.originHi]).toEqual([0x4ac5d453, 0x8edf34ef]);
    expect([view.sequenceLo, view.sequenceHi]).toEqual([7, 5]);
    expect([view.ttl, view.hopCount, view.metric, view.isExhausted]).toEqual([3, 15, 17, false]);
    expect(view.forward()).toBe(true);
    expect([view.ttl, view.hopCount, view.isExhausted]).toEqual([2, 16, true]);
  });

  test("forwarding ends at ttl 0 and hop counts stay at 255", () => {
    const view = new wire.PingwaveView().wrap(wire.encodePingwave({ ...fields, ttl: 1, hopCount: 255 }));
    expect([view.forward(), view.ttl, view.hopCount]).toEqual([true, 0, 255]);
    expect([view.forward(), view.ttl, view.hopCount]).toEqual([false, 0, 255]);
    expect(wire.forwardBasicPingwave({ origin: 1n, sequence: 1n, ttl: 1, hopCount: 255 })).toMatchObject({
      ttl: 0,
      hopCount: 255,
    });
  });

  test("a health above 3 and 71 bytes are refused", () => {
    const bytes = wire.encodePingwave(fields);
    for (const health of [0, 1, 2, 3]) expect(wire.isPingwave(bytes.with(63, health))).toBe(true);
    for (const health of [4, 255]) expect(wire.decodePingwave(bytes.with(63, health))).toBeUndefined();
    expect(wire.isPingwave(bytes, 1)).toBe(false);
  });

  test("compact pingwaves need 24 bytes and ignore the reserved ones", () => {
    expect(wire.decodeBasicPingwave(new Uint8Array(23))).toBeUndefined();
    expect(wire.decodeBasicPingwave(new Uint8Array(24).fill(9, 18))).toEqual({
      origin: 0n,
      sequence: 0n,
      ttl: 0,
      hopCount: 0,
    });
  });

  test("memory falls into eight tiers", () => {
    const sizes = [0, 1, 2, 4, 5, 8, 9, 16, 17, 32, 33, 64, 65, 128, 129, 4096];
    expect(sizes.map(wire.memoryTier)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
  });

  test("the encoder refuses what it cannot write, before it writes", () => {
    const bad: Partial<wire.PingwaveFields>[] = [
      { originId: new Uint8Array(8) },
      { health: 4 as wire.NodeHealth },
      { ttl: 256 },
      { capabilityFlags: -1 },
    ];
    for (const change of bad) {
      expect(() => wire.encodePingwave({ ...fields, ...change })).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
    expect(() => wire.writePingwave(new Uint8Array(72), 1, fields)).toThrow("do not fit");
  });
});

describe("manifests and capability ads", () => {
  const entry: wire.ManifestEntry = { id: 1, version: [1, 5], minCompatible: [1, 2] };

  test("compatibility is asked in both directions", () => {
    const remote = (version: wire.SubprotocolVersion, minCompatible: wire.SubprotocolVersion) =>
      wire.negotiateManifests([entry], [{ id: 1, version, minCompatible }]).compatible;
    expect(remote([1, 2], [0, 0])).toEqual([1]);
    expect(remote([1, 1], [0, 0])).toEqual([]);
    expect(remote([1, 9], [1, 5])).toEqual([1]);
    expect(remote([1, 9], [1, 6])).toEqual([]);
  });

  test("the encoder refuses duplicates, minimums above the version and numbers out of range", () => {
    const bad: wire.ManifestEntry[][] = [
      [entry, entry],
      [{ ...entry, minCompatible: [2, 0] }],
      [{ ...entry, id: 65_536 }],
      [{ ...entry, version: [256, 0] }],
      new Array<wire.ManifestEntry>(65_536).fill(entry),
    ];
    for (const entries of bad) {
      expect(() => wire.encodeManifest(entries)).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
    expect(wire.decodeManifest(wire.encodeManifest([{ ...entry, minCompatible: [1, 5] }]))).toHaveLength(1);
  });

  test("a string of an ad is cut at a character, more than 255 strings are refused", () => {
    const ad = (tools: string[]): wire.CapabilityAd => ({
      nodeId: 1n,
      version: 1,
      capabilities: { hasGpu: true, memoryGb: 1, modelSlots: 1, tools, tags: [] },
    });
    const decoded = wire.decodeCapabilityAd(wire.encodeCapabilityAd(ad(["é".repeat(128)])));
    expect(decoded?.capabilities.tools).toEqual(["é".repeat(127)]);
    expect(() => wire.encodeCapabilityAd(ad(new Array<string>(256).fill("")))).toThrow("255 fit");
    expect(wire.decodeCapabilityAd(unhex(`${"00".repeat(18)}0101ff00`))).toBeUndefined();
  });
});

describe("rekey messages", () => {
  const publicKey = unhex("ab".repeat(32));
  const { PROPOSE, ACCEPT, REQUEST } = wire.RekeyKind;

  test("are a kind, an epoch and, but for a request, a key", () => {
    expect(hex(wire.encodeRekey({ kind: PROPOSE, epoch: 1, publicKey }))).toBe(
      `0101000000${"ab".repeat(32)}`,
    );
    expect(hex(wire.encodeRekey({ kind: ACCEPT, epoch: 0x01020304, publicKey }))).toBe(
      `0204030201${"ab".repeat(32)}`,
    );
    expect(hex(wire.encodeRekey({ kind: REQUEST, epoch: 0xffff_ffff }))).toBe("03ffffffff");
  });

  test("survive the round trip", () => {
    const epoch = fc.integer({ min: 0, max: 0xffff_ffff });
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 });
    fc.assert(
      fc.property(fc.constantFrom(PROPOSE, ACCEPT), epoch, key, (kind, number, half) => {
        const message = { kind, epoch: number, publicKey: half };
        expect(wire.decodeRekey(wire.encodeRekey(message))).toEqual(message);
        const request = { kind: REQUEST, epoch: number };
        expect(wire.decodeRekey(wire.encodeRekey(request))).toEqual(request);
      }),
    );
  });

  test("have the length of their kind and no other", () => {
    for (let kind = 0; kind < 256; kind++) {
      for (let length = 0; length < 64; length++) {
        const bytes = new Uint8Array(length);
        if (length > 0) bytes[0] = kind;
        const isRight =
          length > 0 && (kind === REQUEST ? length === 5 : (kind === 1 || kind === 2) && length === 37);
        expect(wire.decodeRekey(bytes) !== undefined, `${kind}, ${length} bytes`).toBe(isRight);
      }
    }
  });

  test("own their key", () => {
    const bytes = wire.encodeRekey({ kind: ACCEPT, epoch: 1, publicKey });
    const message = wire.decodeRekey(bytes);
    bytes.fill(0);
    expect(message).toEqual({ kind: ACCEPT, epoch: 1, publicKey });
  });

  test("a caller's wrong values are refused", () => {
    expect(() => wire.encodeRekey({ kind: PROPOSE, epoch: 2 ** 32, publicKey })).toThrow("epoch");
    expect(() => wire.encodeRekey({ kind: PROPOSE, epoch: 1, publicKey: new Uint8Array(31) })).toThrow(
      "publicKey",
    );
    expect(() => wire.encodeRekey({ kind: 4, epoch: 1, publicKey } as never)).toThrow("kind");
  });
});

describe("path probes", () => {
  const { PROBE, ANSWER } = wire.PathProbeKind;

  test("fill a datagram of exactly the size that they ask about", () => {
    for (const [isRouted, overhead] of [
      [false, 88],
      [true, 106],
    ] as const) {
      for (const size of [1_200, 1_472, 8_192]) {
        const bytes = wire.encodePathProbe(0x01020304, size, isRouted);
        expect(bytes.length).toBe(size - overhead);
        expect(hex(bytes.subarray(0, 5))).toBe("0404030201");
        expect(bytes.subarray(7).every((byte) => byte === 0)).toBe(true);
        expect(wire.decodePathProbe(bytes)).toEqual({ kind: PROBE, id: 0x01020304, size });
      }
    }
  });

  test("are answered by their id and size", () => {
    const bytes = wire.encodePathProbeAnswer(0xffff_ffff, 1_472);
    expect(hex(bytes)).toBe("05ffffffffc005");
    expect(wire.decodePathProbe(bytes)).toEqual({ kind: ANSWER, id: 0xffff_ffff, size: 1_472 });
  });

  test("have the length of their kind and size and no other", () => {
    const probe = wire.encodePathProbe(1, 1_300, false);
    for (let length = 0; length <= probe.length; length++) {
      const isRight = length === 1_300 - 88 || length === 1_300 - 106;
      expect(wire.decodePathProbe(probe.subarray(0, length)) !== undefined, `${length}`).toBe(isRight);
    }
    const answer = wire.encodePathProbeAnswer(1, 1_300);
    expect(wire.decodePathProbe(answer.subarray(0, 6))).toBeUndefined();
    expect(wire.decodePathProbe(Uint8Array.of(...answer, 0))).toBeUndefined();
    for (let kind = 0; kind < 256; kind++) {
      const other = Uint8Array.of(kind, ...answer.subarray(1));
      expect(wire.decodePathProbe(other) !== undefined).toBe(kind === ANSWER);
    }
  });

  test("ask about 1200 to 8192 bytes", () => {
    const answer = wire.encodePathProbeAnswer(1, 1_200);
    for (const [size, isRight] of [
      [1_199, false],
      [1_200, true],
      [8_192, true],
      [8_193, false],
    ] as const) {
      wire.writeU16(answer, 5, size);
      expect(wire.decodePathProbe(answer) !== undefined).toBe(isRight);
      if (isRight) continue;
      expect(() => wire.encodePathProbe(1, size, false)).toThrow("1200 to 8192");
      expect(() => wire.encodePathProbeAnswer(1, size)).toThrow("1200 to 8192");
    }
    expect(() => wire.encodePathProbe(1, 1_300.5, false)).toThrow("1200 to 8192");
    expect(() => wire.encodePathProbe(-1, 1_300, false)).toThrow("id");
  });
});

describe("packets in parts", () => {
  const packet = {
    streamIdLo: 0x04030201,
    streamIdHi: 0x08070605,
    sequenceLo: 9,
    sequenceHi: 1,
    flags: 1,
    eventCount: 2,
  };

  test("say which part of which packet they are", () => {
    const plainText = new Uint8Array(1_026).fill(0xab);
    expect(hex(wire.encodePacketPart(packet, plainText, 1))).toBe(
      "0601020001020304050607080900000001000000020401abab",
    );
  });

  test("make up the packet again", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1_025, maxLength: 8_108, size: "max" }), (plainText) => {
        const { length } = plainText;
        const whole = new Uint8Array(length);
        for (let i = 0; i < wire.packetPartCount(length); i++) {
          const part = wire.decodePacketPart(wire.encodePacketPart(packet, plainText, i));
          expect(part).toMatchObject({ ...packet, length, index: i });
          whole.set(part?.data ?? [], i * wire.PACKET_PART_DATA_SIZE);
        }
        expect(hex(whole)).toBe(hex(plainText));
      }),
      { numRuns: 50 },
    );
  });

  test("have the length of their place and no other, of packets that one part does not hold", () => {
    const last = wire.encodePacketPart(packet, new Uint8Array(1_500), 1);
    for (let length = 0; length <= last.length; length++) {
      expect(wire.decodePacketPart(last.subarray(0, length)) !== undefined).toBe(length === last.length);
    }
    expect(wire.decodePacketPart(Uint8Array.of(...last, 0))).toBeUndefined();
    const change = (at: number, ...bytes: number[]) => {
      const changed = last.slice();
      changed.set(bytes, at);
      return wire.decodePacketPart(changed);
    };
    expect(change(0, 5)).toBeUndefined();
    expect(change(1, 8)).toBeUndefined();
    expect(change(1, 0)).toBeDefined();
    expect(change(1, wire.MESSAGE_PART_FLAG)?.flags).toBe(wire.MESSAGE_PART_FLAG);
    expect(change(1, wire.MESSAGE_PART_FLAG | 1)).toBeUndefined();
    expect(change(2, 0, 0)).toBeUndefined();
    expect(change(2, 0xec, 0x07)).toBeUndefined();
    expect(change(20, 0, 4)).toBeUndefined();
    expect(change(20, 0xff, 0xff)).toBeUndefined();
    expect(change(22, 2)).toBeUndefined();
  });

  test("a caller's wrong values are refused", () => {
    const encode = (changes: object, length: number, index: number) =>
      wire.encodePacketPart({ ...packet, ...changes }, new Uint8Array(length), index);
    expect(() => encode({}, 1_024, 0)).toThrow("no part");
    expect(() => encode({}, 8_109, 0)).toThrow("no part");
    expect(() => encode({}, 2_000, 2)).toThrow("no part");
    expect(() => encode({}, 2_000, 0.5)).toThrow("no part");
    expect(() => encode({ flags: 8 }, 2_000, 0)).toThrow("no part");
    expect(() => encode({ eventCount: 0 }, 2_000, 0)).toThrow("no part");
    expect(wire.MAX_PACKET_PARTS).toBe(8);
  });
});
