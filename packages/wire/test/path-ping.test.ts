import { describe, expect, test } from "vitest";
import {
  decodePathPing,
  encodePathPing,
  encodeSealedPingwave,
  PATH_PING_SIZE,
  PathPingKind,
  SEALED_PINGWAVE_SIZE,
  WireError,
} from "../src/index.ts";

describe("a ping of a path and its answer", () => {
  test("survive the round trip with each of their flags", () => {
    for (const kind of [PathPingKind.PING, PathPingKind.ANSWER]) {
      for (const moves of [true, false]) {
        for (const failed of [true, false]) {
          const bytes = encodePathPing({ kind, id: 0xfedcba98, moves, failed });
          expect(bytes).toHaveLength(PATH_PING_SIZE);
          expect([...bytes]).toEqual([kind, Number(moves) + 2 * Number(failed), 0x98, 0xba, 0xdc, 0xfe]);
          expect(decodePathPing(bytes)).toEqual({ kind, id: 0xfedcba98, moves, failed });
        }
      }
    }
  });

  test("are taken without flags that are not known", () => {
    const bytes = encodePathPing({ kind: PathPingKind.PING, id: 1, moves: false, failed: false });
    bytes[1] = 0xfc;
    expect(decodePathPing(bytes)).toEqual({ kind: 8, id: 1, moves: false, failed: false });
  });

  test("of another length or kind are none", () => {
    const bytes = encodePathPing({ kind: PathPingKind.PING, id: 1, moves: true, failed: false });
    for (const length of [0, 1, 5]) expect(decodePathPing(bytes.subarray(0, length))).toBeUndefined();
    expect(decodePathPing(new Uint8Array([...bytes, 0]))).toBeUndefined();
    for (const kind of [0, 7, 10]) {
      bytes[0] = kind;
      expect(decodePathPing(bytes)).toBeUndefined();
    }
  });

  test("have an id that is a u32", () => {
    for (const id of [-1, 2 ** 32, 1.5]) {
      expect(() => encodePathPing({ kind: 8, id, moves: false, failed: false })).toThrow(WireError);
    }
  });
});

describe("a pingwave that travels sealed", () => {
  test("is its bytes behind a kind", () => {
    const bytes = new Uint8Array(80).map((_, i) => i);
    const event = encodeSealedPingwave(bytes, 4);
    expect(event).toHaveLength(SEALED_PINGWAVE_SIZE);
    expect([...event]).toEqual([10, ...bytes.subarray(4, 76)]);
  });

  test("needs 72 bytes", () => {
    expect(() => encodeSealedPingwave(new Uint8Array(75), 4)).toThrow(WireError);
  });
});
