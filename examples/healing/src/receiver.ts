import { createHash } from "node:crypto";
import {
  type Contact,
  fromContact,
  fromEnvironment,
  runProcess,
  tell,
  toContact,
} from "@netmesh/demo-processes";
import { Mesh, type MeshStream } from "@netmesh/sdk";
import { type Message, meshSettings, STREAM_ID } from "./messages.ts";

const TELL_EVERY_MS = 20;

/** Reads the stream to its end, and tells how it comes. */
async function receive(stream: MeshStream): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  let lastMs = performance.now();
  let toldMs = lastMs;
  let longestPauseMs = 0;
  for await (const { data } of stream) {
    const nowMs = performance.now();
    longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs);
    lastMs = nowMs;
    hash.update(data);
    bytes += data.length;
    if (nowMs - toldMs < TELL_EVERY_MS) continue;
    tell<Message>({ event: "progress", bytes, longestPauseMs });
    toldMs = nowMs;
    longestPauseMs = 0;
  }
  tell<Message>({ event: "received", bytes, sha256: hash.digest("hex") });
  await stream.close();
}

await runProcess(async () => {
  const mesh = await Mesh.open(meshSettings());
  const tellPath = (nodeId: bigint) =>
    tell<Message>({ event: "path", address: mesh.peer(nodeId)?.address ?? "" });
  mesh.addEventListener("stream", ({ peer }) => {
    mesh.addEventListener("path-changed", () => tellPath(peer.nodeId));
    tellPath(peer.nodeId);
    const stream = mesh.openStream(peer.nodeId, { streamId: STREAM_ID, reliability: "reliable" });
    void runProcess(() => receive(stream));
  });
  tell<Message>({ event: "listening", ...toContact(mesh.contact) });
  for (const contact of JSON.parse(fromEnvironment("DEMO_NEIGHBORS")) as Contact[]) {
    await mesh.connect(fromContact(contact));
  }
  process.once("SIGTERM", () => void mesh.shutdown());
});
