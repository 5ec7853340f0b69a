import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { isPunchTarget } from "../src/punch-target.ts";
import { fromBlock, toBlock } from "../src/socket-block.ts";

const at = (text: string) => SocketAddress.parse(text);

describe("an address in a message", () => {
  it.each(["192.0.2.7:9001", "[2001:db8::1]:443", "[::]:0", "[1:2:3:4:5:6:7:8]:1", "[2001:db8:0:1::]:5"])(
    "comes out as it went in: %s",
    (text) => {
      const block = toBlock(at(text));
      expect(block && fromBlock(block).key).toBe(text);
    },
  );

  it("comes out as IPv4 when it was mapped from that", () => {
    const address = Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4);
    expect(fromBlock({ family: 6, address, port: 80 }).key).toBe("1.2.3.4:80");
  });

  it("has no scope", () => {
    expect(toBlock(at("[fe80::1%2]:5"))).toBeUndefined();
  });
});

describe("a target that somebody else has named", () => {
  it.each([
    "0.0.0.0:9",
    "224.0.0.1:9",
    "255.255.255.255:9",
    "169.254.0.1:9",
    "127.0.0.1:9",
    "192.0.2.1:0",
    "[ff02::1]:9",
    "[::]:9",
    "[fe80::1]:9",
    "[febf::1]:9",
  ])("is not sent to at %s", (text) => expect(isPunchTarget(at(text), at("0.0.0.0:7000"))).toBe(false));

  it("may be this host when the socket is there, and any ordinary address", () => {
    expect(isPunchTarget(at("127.0.0.1:9"), at("127.0.0.1:7000"))).toBe(true);
    expect(isPunchTarget(at("192.168.1.2:9"), at("0.0.0.0:7000"))).toBe(true);
    expect(isPunchTarget(at("[2001:db8::1]:9"), at("[::]:7000"))).toBe(true);
    expect(isPunchTarget(at("[fd00::1]:9"), at("[::]:7000"))).toBe(true);
  });
});
