import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  decodePcpAnswer,
  encodePcpAnnounce,
  encodePcpMap,
  GatewayEpoch,
  type PcpMapRequest,
} from "../src/index.ts";
import { bytesOf } from "./fake-gateway.ts";

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

const request: PcpMapRequest = {
  clientHost: "192.168.1.10",
  nonce: bytesOf("000102030405060708090a0b"),
  internalPort: 9001,
  suggestedPort: 9001,
  suggestedHost: "0.0.0.0",
  lifetimeSeconds: 3600,
};

describe("requests of PCP", () => {
  it("announce with the client's address", () => {
    expect(hex(encodePcpAnnounce("192.168.1.10"))).toBe("020000000000000000000000000000000000ffffc0a8010a");
  });

  it("map with nonce, protocol, ports and no wish for an address", () => {
    expect(hex(encodePcpMap(request))).toBe(
      "0201000000000e1000000000000000000000ffffc0a8010a" +
        "000102030405060708090a0b110000002329232900000000000000000000ffff00000000",
    );
  });

  it("cannot name a client without an IPv4 address", () => {
    expect(() => encodePcpAnnounce("fe80::1")).toThrow("not an IPv4 address");
  });
});

describe("answers of PCP", () => {
  const answer = `02810000 00000e10 00000007 ${"00".repeat(12)} 000102030405060708090a0b 11000000 2329 b26e ${"00".repeat(10)}ffff 2c800102`;

  it("say which port and address were given, with any options behind", () => {
    for (const options of ["", `03000014${"00".repeat(20)}`]) {
      expect(decodePcpAnswer(bytesOf(answer + options))).toMatchObject({
        opcode: 1,
        result: 0,
        lifetimeSeconds: 3600,
        epochSeconds: 7,
        map: { protocol: 17, internalPort: 9001, externalPort: 45_678, externalHost: "44.128.1.2" },
      });
    }
  });

  it("without an IPv4 address have none", () => {
    const other = bytesOf(answer);
    other[44] = 0x20;
    expect(decodePcpAnswer(other)?.map?.externalHost).toBeUndefined();
  });

  it.each([
    ["of NAT-PMP", `00${"00".repeat(23)}`],
    ["that are requests", `0201${"00".repeat(58)}`],
    ["to MAP without a body", `0281${"00".repeat(22)}`],
    ["of a length that is no multiple of four", `0280${"00".repeat(24)}`],
    ["longer than a message may be", `0280${"00".repeat(1102)}`],
    ["empty", ""],
  ])("%s are none", (_, bytes) => {
    expect(decodePcpAnswer(bytesOf(bytes))).toBeUndefined();
  });

  it("of any bytes never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        bytes[0] = 2;
        expect(decodePcpAnswer(bytes) === undefined || bytes.length >= 24).toBe(true);
      }),
    );
  });
});

describe("the epoch of a gateway", () => {
  const after = (rule: "pcp" | "nat-pmp", first: number, second: number, seconds: number) => {
    const epoch = new GatewayEpoch();
    expect(epoch.follows(rule, first, 0)).toBe(true);
    return epoch.follows(rule, second, seconds * 1000);
  };

  it.each([
    [1000, 999, 0, true],
    [1000, 998, 0, false],
    [1000, 1160, 160, true],
    [1000, 1160, 148, true],
    [1000, 1160, 147, false],
    [1000, 1148, 160, true],
    [1000, 1147, 160, false],
    [1000, 0, 30, false],
  ])("of PCP from %i to %i within %i seconds is right: %s", (first, second, seconds, expected) => {
    expect(after("pcp", first, second, seconds)).toBe(expected);
  });

  it.each([
    [1000, 1700, 802, true],
    [1000, 1698, 800, true],
    [1000, 1697, 800, false],
    [1000, 5000, 10, true],
    [1000, 998, 0, true],
    [1000, 997, 0, false],
  ])("of NAT-PMP from %i to %i within %i seconds is right: %s", (first, second, seconds, expected) => {
    expect(after("nat-pmp", first, second, seconds)).toBe(expected);
  });
});
