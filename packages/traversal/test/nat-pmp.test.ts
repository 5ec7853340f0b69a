import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodeNatPmpAnswer,
  encodeNatPmpAddressRequest,
  encodeNatPmpMapRequest,
  natPmpResultName,
} from "../src/index.ts";
import { bytesOf } from "./fake-gateway.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

describe("requests of NAT-PMP", () => {
  it.each([
    [9001, 9001, 3600, "00010000232923290000 0e10"],
    [9001, 0, 0, "000100002329000000000000"],
    [0, 0, 0, "000100000000000000000000"],
    [4660, 43_981, 0xffff_ffff, "000100001234abcdffffffff"],
  ])("ask for port %i as %i for %i seconds", (internal, external, lifetime, expected) => {
    expect(hex(encodeNatPmpMapRequest(internal, external, lifetime))).toBe(expected.replace(" ", ""));
  });

  it("ask for the external address with two zero bytes", () => {
    expect(hex(encodeNatPmpAddressRequest())).toBe("0000");
  });
});

describe("answers of NAT-PMP", () => {
  it.each([
    [
      "00800000000003e8cb007109",
      { kind: "address", result: 0, epochSeconds: 1000, externalHost: "203.0.113.9" },
    ],
    [
      "00800000000003e8cb00710901",
      { kind: "address", result: 0, epochSeconds: 1000, externalHost: "203.0.113.9" },
    ],
    [
      "00810000000003e92328a02800000e10",
      {
        kind: "map",
        result: 0,
        epochSeconds: 1001,
        internalPort: 9000,
        mappedPort: 41_000,
        lifetimeSeconds: 3600,
      },
    ],
    ["0081000500000007", { kind: "error", opcode: 1, result: 5, epochSeconds: 7 }],
    ["0080000100000007", { kind: "error", opcode: 0, result: 1, epochSeconds: 7 }],
  ])("%s are read", (bytes, expected) => {
    expect(decodeNatPmpAnswer(bytesOf(bytes))).toEqual(expected);
  });

  it.each([
    ["short", "00800000000003e8cb0071"],
    ["of another version", "01810000000003e92328a02800000e10"],
    ["requests", "00010000000003e92328a02800000e10"],
    ["to operation 127", "007f0000000003e92328a02800000e10"],
    ["to TCP", "00820000000003e92328a02800000e10"],
    ["to operation 42", "00aa0000000003e92328a02800000e10"],
    ["cut", "00810000000003e92328a028"],
    ["of eight bytes without an error", "0081000000000007"],
    ["empty", ""],
  ])("%s are none", (_, bytes) => {
    expect(decodeNatPmpAnswer(bytesOf(bytes))).toBeUndefined();
  });

  it("of any bytes never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const answer = decodeNatPmpAnswer(bytes);
        expect(answer === undefined || bytes.length >= 8).toBe(true);
      }),
    );
  });

  it("name their results", () => {
    expect([0, 1, 2, 3, 4, 5, 42].map(natPmpResultName)).toEqual([
      "success",
      "unsupported-version",
      "not-authorized",
      "network-failure",
      "out-of-resources",
      "unsupported-opcode",
      "unknown",
    ]);
  });
});
