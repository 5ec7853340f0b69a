import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddressBook, SocketAddress } from "../src/socket-address.ts";

describe("SocketAddress", () => {
  it.each([
    ["10.0.0.1:9001", "10.0.0.1:9001", 4],
    ["0.0.0.0:0", "0.0.0.0:0", 4],
    ["255.255.255.255:65535", "255.255.255.255:65535", 4],
    ["[::1]:80", "[::1]:80", 6],
    ["[::]:0", "[::]:0", 6],
    ["[2001:DB8:0:0:0:0:0:1]:1", "[2001:db8::1]:1", 6],
    ["[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1", 6],
    ["[1:0:2:3:4:5:6:7]:1", "[1:0:2:3:4:5:6:7]:1", 6],
    ["[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1", 6],
    ["[fe80::1%eth0]:5", "[fe80::1%eth0]:5", 6],
    ["[::ffff:192.0.2.7]:9", "192.0.2.7:9", 4],
    ["[::FFFF:c000:0207]:9", "192.0.2.7:9", 4],
    ["[64:ff9b::192.0.2.33]:9", "[64:ff9b::c000:221]:9", 6],
  ])("reads %s as %s", (text, key, family) => {
    const address = SocketAddress.parse(text);
    expect([address.key, address.toString(), address.family]).toEqual([key, key, family]);
    expect(SocketAddress.parse(key).equals(address)).toBe(true);
    expect(SocketAddress.parse({ host: address.host, port: address.port }).key).toBe(key);
  });

  it.each([
    "",
    "localhost:1",
    "1.2.3.4",
    "1.2.3:4",
    "1.2.3.256:4",
    "01.2.3.4:5",
    "1.2.3.4:65536",
    "1.2.3.4:-1",
    "1.2.3.4:1e1",
    "::1:80",
    "[1.2.3.4]:80",
    "[::1]",
    "[:::]:1",
    "[1::2::3]:1",
    "[1:2:3:4:5:6:7]:1",
    "[1:2:3:4:5:6:7:8:9]:1",
    "[1:2:3:4:5:6:7:8::]:1",
    "[12345::]:1",
    "[g::]:1",
    "[1.2.3.4::]:1",
    "[::1.2.3.4.5]:1",
    "[fe80::1%]:1",
    "[fe80::1% x]:1",
    "[::ffff:1.2.3.4%eth0]:1",
  ])("refuses %s", (text) => {
    expect(() => SocketAddress.parse(text)).toThrow(expect.objectContaining({ code: "invalid-address" }));
  });

  it("refuses ports that are no 16-bit integers", () => {
    for (const port of [-1, 65_536, 1.5, Number.NaN]) {
      expect(() => SocketAddress.parse({ host: "10.0.0.1", port })).toThrow(
        expect.objectContaining({ code: "invalid-address" }),
      );
    }
  });

  it("gives an address back as it is", () => {
    const address = SocketAddress.parse("10.0.0.1:1");
    expect(SocketAddress.parse(address)).toBe(address);
  });

  it("compares by host and port", () => {
    const address = SocketAddress.parse("10.0.0.1:1");
    expect(address.equals(SocketAddress.parse("[::ffff:10.0.0.1]:1"))).toBe(true);
    expect(address.equals(SocketAddress.parse("10.0.0.1:2"))).toBe(false);
    expect(address.equals(SocketAddress.parse("10.0.0.2:1"))).toBe(false);
  });

  it("knows the loopback addresses", () => {
    const loopback = [
      "127.0.0.1:1",
      "127.9.9.9:1",
      "[::1]:1",
      "[::ffff:127.0.0.1]:1",
      "10.0.0.1:1",
      "[::2]:1",
    ];
    expect(loopback.map((text) => SocketAddress.parse(text).isLoopback)).toEqual([
      true,
      true,
      true,
      true,
      false,
      false,
    ]);
  });

  it("writes every IPv6 address in one way only, however it was spelled", () => {
    const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
    fc.assert(
      fc.property(fc.tuple(group, group, group, group, group, group, group, group), (groups) => {
        fc.pre(!(groups[5] === 0xffff && groups.slice(0, 5).every((each) => each === 0)));
        const long = groups.map((each) => each.toString(16).padStart(4, "0").toUpperCase()).join(":");
        const address = SocketAddress.parse(`[${long}]:7`);
        expect(SocketAddress.parse(address.key).key).toBe(address.key);
        // The platform's URL parser writes IPv6 by the same RFC.
        expect(new URL(`http://[${long}]:7`).host).toBe(address.key);
      }),
    );
  });

  it("never throws anything but its own error", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(..."0123456789abf:.[]%x") }), (text) => {
        try {
          SocketAddress.parse(text);
        } catch (error) {
          expect(error).toMatchObject({ code: "invalid-address" });
        }
      }),
    );
  });
});

describe("AddressBook", () => {
  it("gives the same object for the same host and port", () => {
    const book = new AddressBook();
    const first = book.intern("10.0.0.1", 1);
    expect(book.intern("10.0.0.1", 1)).toBe(first);
    expect(book.intern("10.0.0.1", 2)).not.toBe(first);
    expect(book.intern("::ffff:10.0.0.1", 1).equals(first)).toBe(true);
  });

  it("stays within its capacity under ever new addresses", () => {
    const book = new AddressBook(64);
    for (let i = 0; i < 10_000; i++) {
      book.intern(`10.0.${i >> 8}.${i & 255}`, i);
      expect(book.size).toBeLessThanOrEqual(64);
    }
  });

  it("keeps every address of a few peers under a flood of sources that are seen once", () => {
    const book = new AddressBook();
    const hosts = Array.from({ length: 20 }, (_, i) => `192.0.2.${i}`);
    const kept = hosts.map((host) => book.intern(host, 7));
    for (let round = 0; round < 20; round++) {
      hosts.map((host) => book.intern(host, 7));
      for (let i = 0; i < 5_000; i++) book.intern(`198.${round}.${i >> 8}.${i & 255}`, i);
    }
    expect(hosts.filter((host, i) => book.intern(host, 7) === kept[i]).length).toBeGreaterThan(18);
    expect(book.size).toBeLessThanOrEqual(16_384);
  });

  it("keeps an address that is seen again and again", () => {
    const book = new AddressBook(64);
    const kept = book.intern("10.0.0.1", 1);
    for (let port = 2; port < 2000; port++) {
      book.intern("10.0.0.9", port);
      expect(book.intern("10.0.0.1", 1)).toBe(kept);
    }
  });

  it("refuses a host that is no address", () => {
    expect(() => new AddressBook().intern("localhost", 1)).toThrow(
      expect.objectContaining({ code: "invalid-address" }),
    );
  });
});
