import { randomBytes } from "node:crypto";
import { UdpTransport } from "@netmesh/transport-udp";
import { describe, expect, it } from "vitest";
import type { MeshOptions } from "../src/index.ts";
import { openMesh } from "./open-mesh.ts";

const isBatched = await UdpTransport.bind("127.0.0.1:0", { mode: "batched" }).then(
  (socket) => socket.close().then(() => true),
  () => false,
);

if (!isBatched) it.skip("batched sockets are not tested: they do not run on this machine", () => {});

const sockets: [string, NonNullable<MeshOptions["socket"]>][] = [["portable", { mode: "portable" }]];
if (isBatched) {
  sockets.push(["batched", { mode: "batched", offload: false }]);
  sockets.push(["batched with offload", { mode: "batched" }]);
}

describe.each(sockets)("a mesh on %s sockets", (_, socket) => {
  it("carries a megabyte through a relay, unchanged, and says which socket it has", async () => {
    const [a, relay, b] = [
      await openMesh({ socket }),
      await openMesh({ socket }),
      await openMesh({ socket }),
    ];
    await a.connect(relay.contact);
    await b.connect(relay.contact);
    await a.connectVia(relay.nodeId, b.contact);
    const out = a.openStream(b.nodeId, { streamId: 1n, reliability: "reliable" });
    const back = b.openStream(a.nodeId, { streamId: 1n, reliability: "reliable" });
    const blob = randomBytes(1_000_000);
    const arrived: Uint8Array[] = [];
    const reading = (async () => {
      for await (const { data } of back) arrived.push(data);
    })();
    for (let at = 0; at < blob.length; at += 1_000) await out.write(blob.subarray(at, at + 1_000));
    await out.end();
    await reading;
    expect(Buffer.concat(arrived).equals(blob)).toBe(true);
    expect(relay.stats().socket).toMatchObject({ mode: socket.mode, truncated: 0, timerPolls: 0 });
  });

  it("shuts down with its socket, and opens again on the same port", async () => {
    for (let i = 0; i < 3; i++) {
      const mesh = await openMesh({ socket });
      const { localAddress } = mesh;
      await mesh.shutdown();
      const again = await openMesh({ socket, bind: localAddress });
      expect(again.localAddress).toBe(localAddress);
      await again.shutdown();
    }
  });
});
