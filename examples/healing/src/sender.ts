import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { type Contact, fromContact, fromEnvironment, runProcess, tell } from "@netmesh/demo-processes";
import { Mesh, type MeshStream } from "@netmesh/sdk";
import { type Message, meshSettings, STREAM_ID } from "./messages.ts";

const CHUNK_BYTES = 16 * 1024;

/** Sends the file at that many bytes a second, so that there is something to interrupt all the time. */
async function send(stream: MeshStream, path: string, bytesPerSecond: number): Promise<void> {
  const hash = createHash("sha256");
  const startedMs = performance.now();
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES })) {
    const data = chunk as Uint8Array;
    hash.update(data);
    await stream.writeBytes(data);
    bytes += data.length;
    const aheadMs = (bytes * 1_000) / bytesPerSecond - (performance.now() - startedMs);
    if (aheadMs > 1) await pause(aheadMs);
  }
  await stream.end();
  tell<Message>({ event: "sent", sha256: hash.digest("hex") });
}

await runProcess(async () => {
  await using mesh = await Mesh.open(meshSettings());
  const neighbors = (JSON.parse(fromEnvironment("DEMO_NEIGHBORS")) as Contact[]).map(fromContact);
  const receiver = fromContact(JSON.parse(fromEnvironment("DEMO_RECEIVER")) as Contact);
  for (const neighbor of neighbors) await mesh.connect(neighbor);
  // Until the relays have told each other and this node of the receiver.
  while (!mesh.discoveredNodes().some(({ nodeId }) => nodeId === receiver.nodeId)) await pause(20);
  const via = mesh.discoveredNodes().find(({ nodeId }) => nodeId === receiver.nodeId)?.via;
  const first = neighbors.find(({ address }) => address === via) ?? neighbors[0];
  const peer = await mesh.connectVia(first?.nodeId as bigint, receiver);
  const tellPath = () => tell<Message>({ event: "path", address: mesh.peer(peer.nodeId)?.address ?? "" });
  mesh.addEventListener("path-changed", tellPath);
  tellPath();
  const stream = mesh.openStream(peer.nodeId, { streamId: STREAM_ID, reliability: "reliable" });
  await send(stream, fromEnvironment("DEMO_FILE"), Number(fromEnvironment("DEMO_BYTES_PER_SECOND")));
  // The receiver answers by ending its side.
  for await (const _ of stream);
  await stream.close();
});
