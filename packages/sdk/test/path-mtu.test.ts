import { randomBytes } from "node:crypto";
import type { Transport, TransportListener } from "@netmesh/mesh";
import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { openMesh } from "./open-mesh.ts";

/** A link between two addresses that are not on loopback; what is larger than `mtuBytes` vanishes. */
class Link {
  mtuBytes = 65_507;
  readonly #ends = new Map<string, End>();

  end(address: string): Transport {
    const end = new End(SocketAddress.parse(address), (to, bytes, from) => {
      if (bytes.length <= this.mtuBytes) this.#ends.get(to.key)?.deliver(bytes, from);
    });
    this.#ends.set(address, end);
    return end;
  }
}

type Carry = (to: SocketAddress, bytes: Uint8Array, from: SocketAddress) => void;

class End implements Transport {
  readonly fragments = false;
  readonly localAddress: SocketAddress;
  readonly #carry: Carry;
  #listener: TransportListener | undefined;

  constructor(localAddress: SocketAddress, carry: Carry) {
    this.localAddress = localAddress;
    this.#carry = carry;
  }

  send({ bytes, addresses, count }: DatagramBatch): number {
    for (let i = 0; i < count; i++) {
      const copy = (bytes[i] as Uint8Array).slice();
      const to = addresses[i] as SocketAddress;
      setImmediate(() => this.#carry(to, copy, this.localAddress));
    }
    return count;
  }

  listen(listener: TransportListener): void {
    this.#listener = listener;
  }

  deliver(bytes: Uint8Array, from: SocketAddress): void {
    const batch = new DatagramBatch();
    batch.push(bytes, from);
    this.#listener?.receive(batch);
  }

  close(): Promise<void> {
    this.#listener = undefined;
    return Promise.resolve();
  }
}

describe("the datagrams of a peer", () => {
  it("have 8192 bytes on loopback, and what was configured anywhere", async () => {
    const a = await openMesh();
    const b = await openMesh({ datagramBytes: 1_234 });
    expect((await a.connect(b.contact)).datagramBytes).toBe(8_192);
    expect((await b.connect(a.contact)).datagramBytes).toBe(1_234);
  });

  it("grow with what passes; a writer is not troubled when the path becomes narrow under its hands", async () => {
    const link = new Link();
    link.mtuBytes = 4_500;
    const a = await openMesh({ transport: link.end("10.0.0.1:7000") });
    const b = await openMesh({ transport: link.end("10.0.0.2:7000") });
    const peer = await a.connect(b.contact);
    const out = a.openStream(peer.nodeId, { streamId: 7n, reliability: "reliable", windowBytes: 100_000 });
    const back = b.openStream(a.nodeId, { streamId: 7n, reliability: "reliable" });
    const reading = (async () => {
      const chunks: Uint8Array[] = [];
      for await (const { data } of back) chunks.push(data);
      return Buffer.concat(chunks);
    })();
    const sent: Uint8Array[] = [];
    while (peer.datagramBytes < 4_096) {
      const chunk = randomBytes(10_000);
      sent.push(chunk);
      await out.writeBytes(chunk);
    }
    expect(out.maxEventBytes).toBe(peer.datagramBytes - 88);
    const rest = randomBytes(1_000_000);
    sent.push(rest);
    const writing = out.writeBytes(rest);
    link.mtuBytes = 1_300;
    await writing;
    await out.end();
    expect((await reading).equals(Buffer.concat(sent))).toBe(true);
    expect(peer.datagramBytes).toBeLessThanOrEqual(1_300);
    expect(out.maxEventBytes).toBe(peer.datagramBytes - 88);
    const { counters } = a.stats();
    expect(counters.pathBlackHoles).toBe(1);
    expect(counters.packetsParted).toBeGreaterThan(0);
  });
});
