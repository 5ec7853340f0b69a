import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { partsOn, probe } from "../src/batched/availability.ts";
import { BatchedSocket } from "../src/batched/batched-socket.ts";
import {
  IPPROTO_IP,
  IPPROTO_IPV6,
  SO_RCVBUF,
  SO_REUSEADDR,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
} from "../src/batched/linux-abi.ts";
import { SocketNames } from "../src/batched/socket-name.ts";
import { FakeKernel } from "./fake-kernel.ts";
import { VirtualLoop } from "./virtual-loop.ts";

const ENOSYS = 38;
const EADDRINUSE = 98;
const ENOBUFS = 105;
const EINVAL = 22;

const LOCAL = SocketAddress.parse("10.0.0.1:0");

describe("binding a batched socket", () => {
  it("is exclusive unless told otherwise, and reports what the kernel granted", () => {
    const kernel = new FakeKernel();
    const socket = BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, { sendBufferBytes: 300_000 });
    expect(socket.buffers).toEqual({ receiveBufferBytes: 4_194_304, sendBufferBytes: 300_000 });
    expect(socket.localAddress.key).toBe("10.0.0.1:7000");
    expect(kernel.options.has(`${SOL_SOCKET}:${SO_REUSEADDR}`)).toBe(false);
    BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, { reuseAddress: true });
    expect(kernel.options.get(`${SOL_SOCKET}:${SO_REUSEADDR}`)).toBe(1);
  });

  it("asks for half the buffer, and half again, of a kernel without memory", () => {
    const kernel = new FakeKernel();
    const asked: number[] = [];
    kernel.refuseOption = (_level, option, value) => {
      if (option === SO_RCVBUF) asked.push(value);
      return option === SO_RCVBUF && value > 1_048_576 ? -ENOBUFS : 0;
    };
    BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, {});
    expect(asked).toEqual([4_194_304, 2_097_152, 1_048_576]);
  });

  it("fails with a typed error, and leaves nothing open", () => {
    const kernel = new FakeKernel();
    kernel.bindResult = -EADDRINUSE;
    expect(() => BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, {})).toThrow(
      expect.objectContaining({ code: "address-in-use", systemCode: "EADDRINUSE" }),
    );
    expect(kernel.closed).toEqual([7]);
  });

  it("closes the descriptor when there is no memory for the ring", () => {
    const kernel = new FakeKernel();
    const memory = {
      allocate: () => {
        throw new RangeError("no memory");
      },
      release: () => undefined,
    };
    expect(() => BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, { memory })).toThrow("no memory");
    expect(kernel.closed).toEqual([7]);
  });

  it("works without a kernel that joins", () => {
    const kernel = new FakeKernel();
    kernel.refuseOption = (level, option) => (level === SOL_UDP && option === UDP_GRO ? -92 : 0);
    const socket = BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, {});
    expect(socket.stats()).toMatchObject({ joinsReceives: false, segmentsSends: true });
  });
});

describe("fragments", () => {
  const PROBE = 3;
  const IPV4 = "0:10";
  const IPV6 = "41:23";

  it.each([
    ["10.0.0.1:0", { [IPV4]: PROBE, [IPV6]: undefined }],
    ["[2001:db8::1]:0", { [IPV4]: PROBE, [IPV6]: PROBE }],
  ])("are forbidden on %s, to peers of either family", (local, expected) => {
    const kernel = new FakeKernel();
    kernel.family = local.startsWith("[") ? 10 : 2;
    const socket = BatchedSocket.bind(kernel, new VirtualLoop(), SocketAddress.parse(local), {});
    expect(socket.fragments).toBe(false);
    for (const [option, value] of Object.entries(expected)) expect(kernel.options.get(option)).toBe(value);
  });

  it("are left to the system when told to", () => {
    const kernel = new FakeKernel();
    const socket = BatchedSocket.bind(kernel, new VirtualLoop(), LOCAL, { fragments: true });
    expect(socket.fragments).toBe(true);
    expect(kernel.options.has(IPV4)).toBe(false);
  });

  it.each([
    [IPPROTO_IP, "10.0.0.1:0"],
    [IPPROTO_IPV6, "[2001:db8::1]:0"],
  ])("are reckoned with where the system does not let them be forbidden (level %i)", (refused, local) => {
    const kernel = new FakeKernel();
    kernel.family = local.startsWith("[") ? 10 : 2;
    kernel.refuseOption = (level, _option, value) => (level === refused && value === PROBE ? -EINVAL : 0);
    const socket = BatchedSocket.bind(kernel, new VirtualLoop(), SocketAddress.parse(local), {});
    expect(socket.fragments).toBe(true);
  });
});

describe("the probe", () => {
  it("tells when a call is refused, and leaves nothing open", async () => {
    const kernel = new FakeKernel();
    kernel.sends.push(
      () => -ENOSYS,
      () => -ENOSYS,
    );
    await expect(probe(kernel, new VirtualLoop())).rejects.toThrow("sendmmsg ENOSYS");
    expect(kernel.closed).toEqual([7, 7]);
  });

  it("tells when the event loop never sees what arrives", async () => {
    const loop = new VirtualLoop();
    loop.isDeaf = true;
    const probing = probe(new FakeKernel(), loop);
    for (let i = 0; i < 10; i++) {
      loop.turn();
      await Promise.resolve();
    }
    await expect(probing).rejects.toThrow("deaf");
  });

  it("names platforms for which there are no batched sockets", async () => {
    expect(await partsOn("darwin", "arm64")).toMatchObject({ code: "platform" });
    expect(await partsOn("linux", "ia32")).toMatchObject({ code: "platform" });
  });

  it("names a missing koffi, and one that cannot watch descriptors", async () => {
    expect(await partsOn("linux", "x64", undefined)).toMatchObject({ code: "no-koffi" });
    const old = { load: () => expect.fail(), errno: () => 0, address: () => 0n };
    expect(await partsOn("linux", "x64", old)).toMatchObject({ code: "no-koffi" });
  });

  it("names a C library without the calls", async () => {
    const koffi = {
      load: () => {
        throw new Error("no such function");
      },
      errno: () => 0,
      address: () => 0n,
      node: { poll: () => expect.fail() },
    };
    expect(await partsOn("linux", "x64", koffi)).toEqual({ code: "refused", reason: "no such function" });
  });
});

describe("socket names", () => {
  const kernel = new FakeKernel();

  it.each([
    "[2001:db8::1]:443",
    "[::]:0",
    "[::1]:65535",
    "[1:2:3:4:5:6:7:8]:9",
    "10.1.2.3:4",
    "[fe80::1%eth7]:5",
  ])("of an IPv6 socket are read as they were written: %s", (key) => {
    const names = new SocketNames(6, kernel);
    const name = names.encode(SocketAddress.parse(key)) as Uint32Array;
    expect(names.decode(name, 0)?.key).toBe(key);
    // Known by now, and the same object.
    expect(names.decode(name, 0)).toBe(names.decode(name.slice(), 0));
  });

  it("take the number of an interface, and none that there is not", () => {
    const names = new SocketNames(6, kernel);
    const encoded = names.encode(SocketAddress.parse("[fe80::1%9]:5")) as Uint32Array;
    expect(names.decode(encoded, 0)?.key).toBe("[fe80::1%9]:5");
    expect(names.encode(SocketAddress.parse("[fe80::1%nowhere]:5"))).toBeUndefined();
  });

  it("of ten thousand peers come back as they were", () => {
    const names = new SocketNames(4, kernel);
    for (let round = 0; round < 2; round++) {
      for (let i = 0; i < 10_000; i++) {
        const address = SocketAddress.parse({ host: `10.${i >> 8}.${i & 255}.1`, port: i });
        const decoded = names.decode(names.encode(address) as Uint32Array, 0);
        if (decoded?.key !== address.key) expect.fail(`${decoded} is not ${address}`);
      }
    }
  });
});
