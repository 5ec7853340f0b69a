import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it } from "vitest";
import { hexToBytes, type Mesh, type PeerContact } from "../src/index.ts";
import { nextEvent, openMesh, PSK } from "./open-mesh.ts";

const FILE = fileURLToPath(new URL("./relay-process.ts", import.meta.url));
const STREAM = { streamId: 7n, reliability: "reliable" } as const;
const KILLS = 4;

interface RelayProcess {
  readonly child: ChildProcess;
  readonly contact: PeerContact & { readonly address: string };
}

const children: ChildProcess[] = [];

afterEach(() => {
  for (const child of children.splice(0)) child.kill("SIGKILL");
});

async function startRelay(heartbeatMs: number): Promise<RelayProcess> {
  const settings = JSON.stringify({ bind: "127.0.0.1:0", psk: [...PSK], heartbeatMs });
  const child = spawn(process.execPath, [...process.execArgv, FILE, settings], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  children.push(child);
  const [line] = await once(createInterface({ input: child.stdout }), "line");
  const { address, nodeId, publicKey } = JSON.parse(line);
  return { child, contact: { address, nodeId: BigInt(nodeId), publicKey: hexToBytes(publicKey) } };
}

/** Two meshes that reach each other over any of the relays, connected over the first. */
async function connected(
  heartbeatMs: number,
  count: number,
): Promise<{ a: Mesh; b: Mesh; relays: RelayProcess[] }> {
  // On one host they would find each other without relays.
  const settings = { heartbeatMs, nat: false } as const;
  const [a, b] = [await openMesh(settings), await openMesh(settings)];
  const relays = await Promise.all(Array.from({ length: count }, () => startRelay(heartbeatMs)));
  for (const { contact } of relays) {
    await a.connect(contact);
    await b.connect(contact);
  }
  await a.connectVia((relays[0] as RelayProcess).contact.nodeId, b.contact);
  return { a, b, relays };
}

describe("relays in processes of their own, killed one after the other", () => {
  it.each([50, 5_000])(
    "are replaced under a stream that arrives whole, heartbeats every %i ms",
    async (heartbeatMs) => {
      const { a, b, relays } = await connected(heartbeatMs, KILLS + 1);
      const out = a.openStream(b.nodeId, STREAM);
      const back = b.openStream(a.nodeId, STREAM);
      const { handshakesCompleted } = a.stats().counters;
      let isWriting = true;
      let written = 0;
      const writing = (async () => {
        while (isWriting) {
          const event = new Uint8Array(4);
          new DataView(event.buffer).setUint32(0, written++);
          await out.write(event);
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        await out.end();
      })();
      const numbers: number[] = [];
      const reading = (async () => {
        for await (const { data } of back) {
          numbers.push(new DataView(data.buffer, data.byteOffset).getUint32(0));
        }
      })();
      for (let i = 0; i < KILLS; i++) {
        const inUse = relays.find(
          ({ contact }) => contact.address === a.peer(b.nodeId)?.address,
        ) as RelayProcess;
        const before = written;
        const changed = nextEvent(a, "path-changed");
        inUse.child.kill("SIGKILL");
        await changed;
        await expect.poll(() => numbers.length, { timeout: 10_000, interval: 5 }).toBeGreaterThan(before);
        expect(a.peer(b.nodeId)?.address).not.toBe(inUse.contact.address);
      }
      isWriting = false;
      await writing;
      await reading;
      expect(numbers).toEqual(Array.from({ length: written }, (_, i) => i));
      expect(a.stats().counters.handshakesCompleted).toBe(handshakesCompleted);
      expect(a.peer(b.nodeId)?.connected).toBe(true);
    },
    60_000,
  );
});

describe("nodes that know each other over a relay only", () => {
  it("discover each other", async () => {
    const settings = { heartbeatMs: 50 };
    const [a, relay, b] = [await openMesh(settings), await openMesh(settings), await openMesh(settings)];
    await a.connect(relay.contact);
    await b.connect(relay.contact);
    await expect
      .poll(() => a.discoveredNodes().map(({ nodeId, hops }) => [nodeId, hops]))
      .toEqual([
        [relay.nodeId, 1],
        [b.nodeId, 2],
      ]);
    const [near, far] = a.discoveredNodes();
    expect(far?.via).toBe(relay.localAddress);
    expect(near?.latencyMs).toBeLessThan(1_000);
    expect(a.stats().discovery.graph.nodes).toBe(2);
    expect(a.stats().reroutes.activeReroutes).toBe(0);
  });

  it("find each other when they are looked for, and nobody who is not there", async () => {
    const settings = { heartbeatMs: 50, discoveryHops: 0 };
    const [a, relay, b] = [await openMesh(settings), await openMesh(settings), await openMesh(settings)];
    await a.connect(relay.contact);
    await b.connect(relay.contact);
    const way = await a.findNode(b.nodeId);
    expect(way).toEqual({ nodeId: b.nodeId, hops: 2, via: relay.localAddress });
    const peer = await a.connectVia(way.via, b.contact);
    expect(peer.nodeId).toBe(b.nodeId);
    await expect(a.findNode(1n)).rejects.toMatchObject({ code: "peer-not-reachable" });
    await expect(a.findNode(a.nodeId)).rejects.toMatchObject({ code: "invalid-argument" });
  });
});
