import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { MAX_DATAGRAM_BYTES } from "../datagram-size.ts";
import type { Fallback } from "../transport-socket.ts";
import { type EventLoop, platformLoop } from "./event-loop.ts";
import { type Koffi, koffiSyscalls, loadKoffi } from "./koffi-syscalls.ts";
import { MSG_DONTWAIT } from "./linux-abi.ts";
import { type OpenDescriptor, openDescriptor } from "./open-descriptor.ts";
import { ReceiveRing } from "./receive-ring.ts";
import { SendVector } from "./send-vector.ts";
import { type Syscalls, systemError } from "./syscalls.ts";

/** What batched sockets are made of. */
export interface BatchedParts {
  readonly sys: Syscalls;
  readonly loop: EventLoop;
  /** Whether runs of datagrams pass the kernel whole. */
  readonly offload: boolean;
}

/** How long the event loop may take to see a datagram that is there. */
const RING_TIMEOUT_MS = 1_000;
const LOOPBACK = "127.0.0.1:0";

let known: Promise<BatchedParts | Fallback> | undefined;

/** What batched sockets are made of, or why there are none in this process; found out once, by sending to oneself. */
export function batchedParts(): Promise<BatchedParts | Fallback> {
  known ??= partsOn(process.platform, process.arch, loadKoffi());
  return known;
}

/** {@link batchedParts} of a platform with that koffi. */
export async function partsOn(
  platform: string,
  arch: string,
  koffi?: Koffi,
): Promise<BatchedParts | Fallback> {
  if (platform !== "linux" || (arch !== "x64" && arch !== "arm64")) {
    return {
      code: "platform",
      reason: `batched sockets need Linux on x64 or arm64, this is ${platform} on ${arch}`,
    };
  }
  if (koffi === undefined) return { code: "no-koffi", reason: "the package koffi cannot be loaded" };
  if (koffi.node?.poll === undefined) {
    return { code: "no-koffi", reason: "the package koffi is too old to watch descriptors: 3.3 can" };
  }
  try {
    return await probe(koffiSyscalls(koffi), platformLoop(koffi));
  } catch (error) {
    return { code: "refused", reason: (error as Error).message };
  }
}

/** Tries every call with and without offload. Throws when the system refuses one that there is no doing without. */
export async function probe(sys: Syscalls, loop: EventLoop): Promise<BatchedParts | Fallback> {
  for (const offload of [true, false]) {
    const open = openDescriptor(sys, SocketAddress.parse(LOOPBACK), { receiveBufferBytes: 262_144 }, offload);
    try {
      if (offload && !(open.canSegment && open.isJoining)) continue;
      if (await passesWhole(sys, loop, open)) return { sys, loop, offload };
    } catch (error) {
      if (!offload) throw error;
    } finally {
      sys.close(open.fd);
    }
  }
  return { code: "refused", reason: "datagrams sent to oneself came back changed" };
}

/** Sends datagrams to the socket itself in one call, and compares what one call receives. */
async function passesWhole(sys: Syscalls, loop: EventLoop, open: OpenDescriptor): Promise<boolean> {
  const { fd, names, localAddress, isJoining } = open;
  const sent = new DatagramBatch();
  for (const [seed, length] of [100, 100, 50, 0].entries()) {
    sent.push(new Uint8Array(length).fill(seed + 1), localAddress);
  }
  const vector = new SendVector(sys, names);
  vector.encode(sent, 0, sent.count, open.canSegment ? MAX_DATAGRAM_BYTES : 0);
  const taken = sys.sendmmsg(fd, vector.addressOf(0), vector.count, MSG_DONTWAIT);
  if (taken < 0) throw systemError(taken, "sendmmsg");
  await ringsWithin(loop, fd);
  const ring = new ReceiveRing(sys, names, isJoining);
  const received = new DatagramBatch();
  const count = ring.receive(fd);
  if (count < 0) throw systemError(count, "recvmmsg");
  ring.takeInto(received, count);
  if (received.count !== sent.count) return false;
  return sent.bytes.every((bytes, i) => {
    const got = received.bytes[i] as Uint8Array;
    return got.length === bytes.length && bytes.every((byte, at) => byte === got[at]);
  });
}

function ringsWithin(loop: EventLoop, fd: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const doorbell = loop.doorbell(fd, () => finish());
    const timer = loop.after(RING_TIMEOUT_MS, true, () =>
      finish(new Error("the event loop does not see that a datagram arrived")),
    );
    const finish = (error?: Error): void => {
      loop.cancel(timer);
      doorbell.close();
      // koffi's callback is outside of what runs promises.
      loop.soon(() => (error === undefined ? resolve() : reject(error)));
    };
    try {
      doorbell.watch(false);
    } catch (error) {
      finish(error as Error);
    }
  });
}
