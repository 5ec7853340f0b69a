import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { BatchedSocket } from "../src/batched/batched-socket.ts";
import type { TransportOptions } from "../src/transport-socket.ts";
import { FakeKernel, type Outgoing } from "./fake-kernel.ts";
import { pattern } from "./packets.ts";
import { VirtualLoop } from "./virtual-loop.ts";

const EPERM = 1;
const EINTR = 4;
const EIO = 5;
const EBADF = 9;
const EAGAIN = 11;
const EINVAL = 22;
const EMSGSIZE = 90;
const ENOBUFS = 105;
const ECONNREFUSED = 111;

const A = SocketAddress.parse("10.0.0.2:2");
const B = SocketAddress.parse("10.0.0.3:3");

function open(options: TransportOptions = {}) {
  const kernel = new FakeKernel();
  const loop = new VirtualLoop();
  const socket = BatchedSocket.bind(kernel, loop, SocketAddress.parse("10.0.0.1:0"), options);
  const seen = { writable: 0, ended: [] as (Error | undefined)[] };
  socket.listener = {
    receive: () => undefined,
    writable: () => {
      seen.writable += 1;
    },
    closed: (error) => seen.ended.push(error),
  };
  return { kernel, loop, socket, seen };
}

/** Datagrams of those sizes, to `A` unless told otherwise, each telling its position. */
function batchOf(sizes: readonly number[], to: (index: number) => SocketAddress = () => A): DatagramBatch {
  const batch = new DatagramBatch();
  for (const [i, size] of sizes.entries()) batch.push(pattern(size, i), to(i));
  return batch;
}

/** The part of a batch that was not accepted. */
function rest(batch: DatagramBatch, accepted: number): DatagramBatch {
  const left = new DatagramBatch();
  for (let i = accepted; i < batch.count; i++) {
    left.push(batch.bytes[i] as Uint8Array, batch.addresses[i] as SocketAddress);
  }
  return left;
}

function contents(batch: DatagramBatch): { to: string; bytes: Uint8Array }[] {
  return Array.from({ length: batch.count }, (_, i) => ({
    to: (batch.addresses[i] as SocketAddress).key,
    bytes: batch.bytes[i] as Uint8Array,
  }));
}

const shapes = (sent: readonly Outgoing[]): string[] =>
  sent.map(({ to, bytes, segment }) => `${bytes.length}/${segment} to ${to}`);

const fail = (error: number) => (): number => -error;

describe("runs of datagrams", () => {
  it.each<[string, number[], string[]]>([
    ["of one size travel together", [100, 100, 100], ["300/100 to 10.0.0.2:2"]],
    ["may end with a shorter one", [100, 100, 40, 100], ["240/100 to 10.0.0.2:2", "100/0 to 10.0.0.2:2"]],
    [
      "do not begin with a single one that is longer: it would take the next along where it does not pass",
      [100, 40, 120, 30, 30],
      ["100/0", "40/0", "120/0", "60/30"].map((one) => `${one} to 10.0.0.2:2`),
    ],
    ["end before a longer one", [100, 101, 101], ["100/0 to 10.0.0.2:2", "202/101 to 10.0.0.2:2"]],
    [
      "do not hold empty ones",
      [0, 0, 5, 0],
      ["0/0", "0/0", "5/0", "0/0"].map((one) => `${one} to 10.0.0.2:2`),
    ],
    ["have 64 datagrams at most", new Array(65).fill(10), ["640/10 to 10.0.0.2:2", "10/0 to 10.0.0.2:2"]],
    [
      "have 65507 bytes at most",
      new Array(8).fill(8_192),
      ["57344/8192 to 10.0.0.2:2", "8192/0 to 10.0.0.2:2"],
    ],
  ])("%s", (_, sizes, expected) => {
    const { kernel, socket } = open();
    const batch = batchOf(sizes);
    expect(socket.send(batch)).toBe(batch.count);
    expect(shapes(kernel.sent)).toEqual(expected);
    expect(kernel.datagrams).toEqual(contents(batch));
  });

  it("have one destination", () => {
    const { kernel, socket } = open();
    const batch = batchOf([9, 9, 9, 9, 9], (i) => (i < 2 || i === 4 ? A : B));
    // The same address in another object is the same destination.
    batch.addresses[1] = SocketAddress.parse({ host: A.host, port: A.port });
    expect(socket.send(batch)).toBe(5);
    expect(shapes(kernel.sent)).toEqual(["18/9 to 10.0.0.2:2", "18/9 to 10.0.0.3:3", "9/0 to 10.0.0.2:2"]);
  });

  it("go one by one without offload", () => {
    const { kernel, socket } = open({ offload: false });
    expect(socket.send(batchOf([100, 100]))).toBe(2);
    expect(shapes(kernel.sent)).toEqual(["100/0 to 10.0.0.2:2", "100/0 to 10.0.0.2:2"]);
  });

  it("may hold the same bytes more than once", () => {
    const { kernel, socket } = open();
    const arena = pattern(100_000, 1);
    const batch = new DatagramBatch();
    for (const at of [0, 100, 200, 100, 100, 200, 0]) batch.push(arena.subarray(at, at + 100), A);
    const small = pattern(300, 5);
    for (const at of [0, 100, 100, 200, 0]) batch.push(small.subarray(at, at + 100), A);
    expect(socket.send(batch)).toBe(12);
    expect(shapes(kernel.sent)).toEqual(["1200/100 to 10.0.0.2:2"]);
    expect(kernel.datagrams).toEqual(contents(batch));
  });

  it("leave as they are when batch after batch is of the same memory, and when it no longer is", () => {
    const { kernel, socket } = open();
    const arenas = [pattern(100_000, 1), pattern(100_000, 2)];
    const views = arenas.map((arena) =>
      Array.from({ length: 200 }, (_, i) => arena.subarray(i * 100, i * 100 + 100)),
    );
    const [own = [], other = []] = views;
    const reversed = [...own].reverse();
    const mixed = own.map((view, i) => (i % 50 === 49 ? (other[i] as Uint8Array) : view));
    const small = own.map((view, i) => (i % 50 === 49 ? pattern(100, i) : view));
    const shifted = [pattern(100, 7), ...own];
    const rounds = [
      own,
      own,
      own,
      mixed,
      own,
      reversed,
      small,
      own,
      other,
      other,
      own,
      shifted,
      shifted,
      mixed,
    ];
    for (const [round, datagrams] of rounds.entries()) {
      const batch = new DatagramBatch();
      for (const bytes of datagrams) batch.push(bytes, A);
      for (const arena of arenas) arena.fill(round, 5_000, 7_000);
      kernel.sent.length = 0;
      expect(socket.send(batch)).toBe(datagrams.length);
      expect(kernel.datagrams).toEqual(contents(batch));
    }
  });

  it("need not lie side by side, nor in one buffer", () => {
    const { kernel, socket } = open();
    const arena = pattern(200_000, 1);
    const batch = new DatagramBatch();
    const pieces = [arena.subarray(1_000, 2_000), arena.subarray(90_000, 91_000), pattern(1_000, 9)];
    for (const bytes of [...pieces, arena.subarray(2_000, 3_000), arena.subarray(3_000, 3_100)]) {
      batch.push(bytes, A);
    }
    expect(socket.send(batch)).toBe(5);
    expect(shapes(kernel.sent)).toEqual(["4100/1000 to 10.0.0.2:2"]);
    expect(kernel.datagrams).toEqual(contents(batch));
  });
});

describe("sending", () => {
  it("of nothing makes no call", () => {
    const { kernel, socket } = open();
    kernel.sends.push(() => expect.fail("a call"));
    expect(socket.send(new DatagramBatch())).toBe(0);
  });

  it("takes batches of any length, and more bytes than fit the staging buffer", () => {
    const { kernel, socket } = open();
    for (const count of [65, 128, 129, 2_000]) {
      const batch = batchOf(Array.from({ length: count }, (_, i) => 1 + (i % 1_400)));
      kernel.sent.length = 0;
      expect(socket.send(batch)).toBe(count);
      const lengths = kernel.datagrams.map(({ bytes }) => bytes.length);
      expect(lengths).toEqual(contents(batch).map(({ bytes }) => bytes.length));
      const whole = (each: readonly { bytes: Uint8Array }[]): Buffer =>
        Buffer.concat(each.map(({ bytes }) => bytes));
      expect(whole(kernel.datagrams).equals(whole(contents(batch)))).toBe(true);
    }
  });

  it("counts and passes over what can never be sent", () => {
    const { kernel, socket } = open();
    const batch = batchOf([10, 65_508, 10, 10, 65_507], (i) =>
      i === 2 ? SocketAddress.parse("[::1]:9") : A,
    );
    expect(socket.send(batch)).toBe(5);
    expect(kernel.datagrams.map(({ bytes }) => bytes.length)).toEqual([10, 10, 65_507]);
    expect(socket.stats()).toMatchObject({ oversize: 1, sendErrors: { EINVAL: 1 }, sent: 3 });
  });

  it("that was accepted in part tells how much; the rest follows, nothing twice", () => {
    const { kernel, loop, socket, seen } = open();
    const batch = batchOf([10, 10, 20, 20, 20, 30, 40]);
    kernel.sends.push(
      () => 1,
      () => 1,
      fail(EAGAIN),
    );
    const accepted = socket.send(batch);
    expect(accepted).toBe(5);
    expect([loop.watching, seen.writable]).toEqual(["reads and writes", 0]);
    expect(socket.send(rest(batch, accepted))).toBe(0);
    loop.ring({ isWritable: true });
    expect([loop.watching, seen.writable]).toEqual(["reads", 1]);
    expect(socket.send(rest(batch, accepted))).toBe(2);
    expect(kernel.datagrams).toEqual(contents(batch));
    expect(socket.stats()).toMatchObject({ sent: 7, sentBytes: 150, sendErrors: {} });
  });

  it("survives a storm of full buffers, each followed by room", () => {
    const { kernel, loop, socket, seen } = open();
    const batch = batchOf(Array.from({ length: 50 }, (_, i) => 10 + i));
    let accepted = 0;
    for (let round = 0; accepted < batch.count; round++) {
      kernel.sends.push(() => 1, fail(EAGAIN));
      accepted += socket.send(rest(batch, accepted));
      loop.ring({ isWritable: true });
      expect(seen.writable).toBe(Math.min(round + 1, batch.count - 1));
    }
    expect(kernel.datagrams).toEqual(contents(batch));
  });

  it("repeats an interrupted call, and takes endless interruptions for a full buffer", () => {
    const { kernel, socket } = open();
    kernel.sends.push(fail(EINTR), fail(EINTR));
    expect(socket.send(batchOf([10]))).toBe(1);
    kernel.sends.push(...new Array(50).fill(fail(EINTR)));
    expect(socket.send(batchOf([20]))).toBe(0);
    expect(shapes(kernel.sent)).toEqual(["10/0 to 10.0.0.2:2"]);
    expect(socket.stats().sendErrors).toEqual({});
  });

  it("waits 1, 2, 4 … 100 ms for a kernel without memory", () => {
    const { kernel, loop, socket, seen } = open();
    const waits: number[] = [];
    for (let i = 0; i < 9; i++) {
      kernel.sends.push(fail(ENOBUFS));
      expect(socket.send(batchOf([10, 20]))).toBe(0);
      // Room in the socket's own buffer is no news.
      loop.ring({ isWritable: true });
      expect(seen.writable).toBe(i);
      waits.push(...loop.delays);
      loop.advance(loop.delays[0] as number);
      expect(seen.writable).toBe(i + 1);
    }
    expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 100, 100]);
    expect(socket.send(batchOf([10, 20]))).toBe(2);
    kernel.sends.push(fail(ENOBUFS));
    socket.send(batchOf([10]));
    expect(loop.delays).toEqual([1]);
    expect(socket.stats()).toMatchObject({ sent: 2, sendErrors: { ENOBUFS: 10 } });
  });

  it("repeats a call that failed for an earlier datagram's sake, and loses nothing", () => {
    const { kernel, socket } = open();
    kernel.sends.push(fail(ECONNREFUSED), () => 1, fail(ECONNREFUSED));
    expect(socket.send(batchOf([10, 20, 30]))).toBe(3);
    expect(kernel.datagrams.map(({ bytes }) => bytes.length)).toEqual([10, 20, 30]);
    expect(socket.stats().sendErrors).toEqual({});
  });

  it.each([
    ["EPERM", EPERM],
    ["EINVAL", EINVAL],
    ["EMSGSIZE", EMSGSIZE],
    ["ECONNREFUSED", ECONNREFUSED],
  ])("to one bad address (%s) does not stop the others", (code, error) => {
    const { kernel, socket } = open();
    const refuseB = (messages: readonly Outgoing[]): number => {
      const bad = messages.findIndex(({ to }) => to === B.key);
      return bad === 0 ? -error : bad < 0 ? messages.length : bad;
    };
    kernel.sends.push(...new Array(50).fill(refuseB));
    const batch = batchOf([10, 10, 20, 20, 20, 30], (i) => (i === 1 || i === 3 || i === 4 ? B : A));
    expect(socket.send(batch)).toBe(6);
    expect(kernel.datagrams).toEqual(contents(batch).filter(({ to }) => to === A.key));
    expect(socket.stats()).toMatchObject({ sent: 3, sendErrors: { [code]: 3 }, segmentsSends: true });
    // Joined ones were tried apart; that they failed, too, says nothing against joining.
    kernel.sends.length = 0;
    socket.send(batchOf([50, 50]));
    expect(shapes(kernel.sent).at(-1)).toBe("100/50 to 10.0.0.2:2");
  });

  it("goes on one by one, for good, over a device that cannot cut", () => {
    const { kernel, socket } = open();
    const refuseJoined = (messages: readonly Outgoing[]): number => {
      const bad = messages.findIndex(({ segment }) => segment > 0);
      return bad === 0 ? -EIO : bad < 0 ? messages.length : bad;
    };
    kernel.sends.push(...new Array(50).fill(refuseJoined));
    const batch = batchOf([10, 20, 20, 20, 5, 40, 40]);
    expect(socket.send(batch)).toBe(7);
    expect(kernel.datagrams).toEqual(contents(batch));
    expect(kernel.sent.every(({ segment }) => segment === 0)).toBe(true);
    expect(socket.stats()).toMatchObject({ segmentsSends: false, sent: 7, sendErrors: {} });
    kernel.sends.splice(0, 50, () => 2);
    expect(socket.send(batchOf([9, 9]))).toBe(2);
  });

  it.each([EINVAL, EMSGSIZE])(
    "joins only smaller ones over a device that does not take the size (%i)",
    (error) => {
      const { kernel, socket } = open();
      const refuseLarge = (messages: readonly Outgoing[]): number => {
        const bad = messages.findIndex(({ segment }) => segment > 1_400);
        return bad === 0 ? -error : bad < 0 ? messages.length : bad;
      };
      kernel.sends.push(...new Array(50).fill(refuseLarge));
      const batch = batchOf([1_450, 1_450, 1_450, 100, 100]);
      expect(socket.send(batch)).toBe(5);
      expect(kernel.datagrams).toEqual(contents(batch));
      kernel.sent.length = 0;
      expect(socket.send(batchOf([1_450, 1_450, 1_200, 1_200]))).toBe(4);
      expect(shapes(kernel.sent)).toEqual(
        ["1450/0", "1450/0", "2400/1200"].map((each) => `${each} to 10.0.0.2:2`),
      );
      expect(socket.stats()).toMatchObject({ segmentsSends: true, sendErrors: {} });
    },
  );

  it("of what is too large for its device stops nothing else, and nobody's runs become shorter for it", () => {
    const { kernel, socket } = open();
    // The device of B carries 1,400 bytes, that of A everything.
    const refuseLarge = (messages: readonly Outgoing[]): number => {
      const isBad = ({ to, bytes, segment }: Outgoing): boolean =>
        to === B.key && (segment === 0 ? bytes.length : segment) > 1_400;
      const bad = messages.findIndex(isBad);
      return bad === 0 ? -EMSGSIZE : bad < 0 ? messages.length : bad;
    };
    kernel.sends.push(...new Array(99).fill(refuseLarge));
    const sizes = [8_192, 8_192, 8_192, 1_450, 1_450, 300, 1_450, 8_192, 8_192];
    const isForB = (index: number): boolean => index >= 3 && index < 7;
    const batch = batchOf(sizes, (index) => (isForB(index) ? B : A));
    expect(socket.send(batch)).toBe(9);
    const arrived = contents(batch).filter((_, i) => !isForB(i) || i === 5);
    expect(kernel.datagrams).toEqual(arrived);
    expect(socket.stats()).toMatchObject({ sent: 6, sendErrors: { EMSGSIZE: 3 } });
    expect(shapes(kernel.sent)).toEqual([
      `24576/8192 to ${A.key}`,
      `300/0 to ${B.key}`,
      `16384/8192 to ${A.key}`,
    ]);
    kernel.sent.length = 0;
    kernel.sends.length = 0;
    socket.send(batchOf([8_192, 8_192]));
    expect(shapes(kernel.sent)).toEqual([`16384/8192 to ${A.key}`]);
  });

  it("stops where the buffer is full while it goes one by one", () => {
    const { kernel, loop, socket } = open();
    kernel.sends.push(fail(EIO), () => 1, fail(EAGAIN));
    const batch = batchOf([20, 20, 20]);
    expect(socket.send(batch)).toBe(1);
    loop.ring({ isWritable: true });
    kernel.sends.push(fail(EIO));
    expect(socket.send(rest(batch, 1))).toBe(2);
    expect(kernel.datagrams).toEqual(contents(batch));
  });

  it("ends the socket when the descriptor is lost", () => {
    const { kernel, loop, socket, seen } = open();
    kernel.sends.push(() => 1, fail(EBADF));
    expect(socket.send(batchOf([10, 20, 30]))).toBe(1);
    loop.turn();
    expect(seen.ended).toEqual([expect.objectContaining({ code: "socket", systemCode: "EBADF" })]);
    expect([socket.send(batchOf([10])), kernel.closed]).toEqual([0, []]);
  });

  it("says nothing after the close", () => {
    const { kernel, loop, socket, seen } = open();
    kernel.sends.push(fail(EAGAIN));
    socket.send(batchOf([10]));
    void socket.close();
    loop.ring({ isWritable: true });
    loop.advance(1_000);
    expect([seen.writable, loop.delays]).toEqual([0, []]);
  });

  it("finds room by trying when the event loop cannot watch", () => {
    const { kernel, loop, socket, seen } = open();
    loop.isDeaf = true;
    kernel.sends.push(fail(EAGAIN));
    expect(socket.send(batchOf([10]))).toBe(0);
    loop.advance(1);
    expect([seen.writable, socket.stats().timerPolls]).toEqual([1, 1]);
    expect(socket.send(batchOf([10]))).toBe(1);
  });
});
