/** Packets of one session opened in several threads, and one owner of the replay window. */
import {
  type AeadKey,
  type AeadProvider,
  CryptoError,
  nobleAead,
  PacketCipher,
  ReplayWindow,
} from "@netmesh/crypto";
import { HEADER_SIZE, HeaderOffset, PACKET_OVERHEAD, readU32 } from "@netmesh/wire";
import { describe, expect, test } from "vitest";
import {
  acceptOpening,
  commitOpened,
  DispatchOrder,
  grantOpening,
  type OpeningGrant,
  OpeningKey,
  PacketBuilder,
  SealingKey,
} from "../src/index.ts";
import type { Batch, OpenedBatch } from "./support/opening-worker.ts";
import { Thread } from "./support/thread.ts";
import { pattern } from "./support/vectors.ts";

const key = pattern(32, 1);
const SESSION = 7n;
const THREADS = 4;
/** Packets of a batch. */
const BATCH = 64;
const PAYLOAD_SIZE = 4 + 4;
const SIZE = PACKET_OVERHEAD + PAYLOAD_SIZE;

/** `count` sealed packets, each with its number as its event. */
function sealed(count: number): Uint8Array[] {
  const builder = new PacketBuilder(new SealingKey(key, SESSION));
  return Array.from({ length: count }, (_, i) =>
    builder.build(1n, BigInt(i), [new Uint8Array(Uint32Array.of(i).buffer)]),
  );
}

function joined(packets: readonly Uint8Array[]): Batch {
  const bytes = new Uint8Array(packets.length * SIZE);
  packets.forEach((packet, i) => {
    bytes.set(packet, i * SIZE);
  });
  return { packets: bytes, size: SIZE };
}

/** Sends the packets through four opening threads; hands what they open to `onOpened` in order of dispatch. */
async function openInThreads(
  packets: readonly Uint8Array[],
  onOpened: (bytes: Uint8Array, offset: number, length: number) => void,
): Promise<void> {
  const threads = Array.from(
    { length: THREADS },
    () => new Thread(new URL("./support/opening-worker.ts", import.meta.url)),
  );
  const order = new DispatchOrder<OpenedBatch>(2 * THREADS);
  /** Those that wait until something has completed. */
  const waiting: (() => void)[] = [];
  const deliver = (opened: OpenedBatch): void => {
    opened.lengths.forEach((length, i) => {
      onOpened(opened.packets, i * SIZE, length);
    });
  };
  let next = 0;
  const serve = async (thread: Thread): Promise<void> => {
    while (next < packets.length) {
      const place = order.begin();
      if (place < 0) {
        await new Promise<void>((resolve) => waiting.push(resolve));
        continue;
      }
      const batch = joined(packets.slice(next, next + BATCH));
      next += BATCH;
      thread.postMessage(batch, [batch.packets.buffer]);
      order.complete(place, await thread.next<OpenedBatch>(), deliver);
      for (const wake of waiting.splice(0)) wake();
    }
  };
  try {
    for (const thread of threads) grantOpening(thread, key, SESSION);
    await Promise.all(threads.map(serve));
  } finally {
    await Promise.all(threads.map((thread) => thread[Symbol.asyncDispose]()));
  }
}

test("every packet that four threads open is taken once, every copy of it and every forgery dropped", async () => {
  const genuine = sealed(20_000);
  // Behind every tenth packet a copy of it, behind every tenth of the others a forgery from further ahead.
  const arriving = genuine.flatMap((packet, i) => {
    if (i % 10 === 0) return [packet, packet];
    if (i % 10 !== 5) return [packet];
    const forged = packet.slice();
    new DataView(forged.buffer).setUint32(HeaderOffset.COUNTER, 1_000_000 + i, true);
    return [packet, forged];
  });
  const window = new ReplayWindow();
  const taken = new Set<number>();
  let [copies, forgeries] = [0, 0];
  await openInThreads(arriving, (bytes, offset, length) => {
    if (length < 0) forgeries++;
    else if (!commitOpened(window, bytes, offset)) copies++;
    else {
      expect(length).toBe(PAYLOAD_SIZE);
      taken.add(readU32(bytes, offset + HEADER_SIZE + 4));
    }
  });
  expect([taken.size, copies, forgeries]).toEqual([20_000, 2_000, 2_000]);
  expect(window.next).toBe(20_000n);
}, 60_000);

describe("an opening key", () => {
  test("opens in place, and leaves the header for the owner of the window", () => {
    const [packet] = sealed(1) as [Uint8Array];
    const header = packet.slice(0, HEADER_SIZE);
    expect(new OpeningKey(key, SESSION).open(packet, 0, packet.length)).toBe(PAYLOAD_SIZE);
    expect(packet.subarray(0, HEADER_SIZE)).toEqual(header);
    expect(readU32(packet, HEADER_SIZE + 4)).toBe(0);
  });

  test("opens nothing once it is retired", () => {
    const opening = new OpeningKey(key, SESSION);
    opening.retire();
    opening.retire();
    const [packet] = sealed(1) as [Uint8Array];
    expect(() => opening.open(packet, 0, packet.length)).toThrow(CryptoError);
  });

  test("travels once: what is posted moves, and what arrives is wiped when it has been accepted", () => {
    const arrived: OpeningGrant[] = [];
    const posted: OpeningGrant[] = [];
    const target = {
      postMessage(grant: unknown, transfer: ArrayBuffer[]): void {
        posted.push(grant as OpeningGrant);
        arrived.push(structuredClone(grant as OpeningGrant, { transfer }));
      },
    };
    grantOpening(target, key, SESSION);
    expect(posted[0]?.key).toHaveLength(0);
    expect(key).toEqual(pattern(32, 1));
    const [grant] = arrived as [OpeningGrant];
    const [packet] = sealed(1) as [Uint8Array];
    expect(acceptOpening(grant).open(packet, 0, packet.length)).toBe(PAYLOAD_SIZE);
    expect(grant.key).toEqual(new Uint8Array(32));
  });

  test("has 32 bytes", () => {
    const target = { postMessage: () => expect.unreachable() };
    expect(() => grantOpening(target, new Uint8Array(31), SESSION)).toThrow(
      expect.objectContaining({ code: "invalid-size", value: 31 }),
    );
  });

  test("uses the provider it is given", () => {
    let created = 0;
    const provider: AeadProvider = {
      ...nobleAead,
      create(bytes: Uint8Array): AeadKey {
        created++;
        return nobleAead.create(bytes);
      },
    };
    const [packet] = sealed(1) as [Uint8Array];
    const opening = acceptOpening({ key: key.slice(), sessionId: SESSION }, provider);
    expect(opening.open(packet, 0, packet.length)).toBe(PAYLOAD_SIZE);
    expect(created).toBe(1);
  });

  test("shows its session, never the key", () => {
    expect(JSON.stringify(new OpeningKey(key, SESSION))).toBe(
      '{"sessionId":"0000000000000007","key":"[redacted]"}',
    );
  });
});

test("a packet that was committed out of order is not taken a second time", () => {
  const packets = sealed(3);
  const window = new ReplayWindow();
  const cipher = new PacketCipher(key, SESSION);
  for (const packet of packets) cipher.openPacket(packet, 0, packet.length);
  const verdicts = [2, 0, 2, 1, 0].map((i) => commitOpened(window, packets[i] as Uint8Array, 0));
  expect(verdicts).toEqual([true, true, false, true, false]);
});
