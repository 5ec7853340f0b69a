import { createHash } from "node:crypto";
import { open } from "node:fs/promises";
import {
  type Contact,
  fromContact,
  fromEnvironment,
  runProcess,
  tell,
  toContact,
} from "@netmesh/demo-processes";
import { Mesh, type MeshStream } from "@netmesh/sdk";
import { type FileHeader, type Leg, type Message, meshSettings, STREAM_IDS } from "./messages.ts";

/** Writes what arrives on the stream to a file, checks it against its header, and tells the sender. */
async function receive(stream: MeshStream, leg: Leg, folder: string): Promise<void> {
  const events = stream.events();
  const first = await events.next();
  if (first.done === true) throw new Error("the stream ended before its header");
  const header = JSON.parse(new TextDecoder().decode(first.value.data)) as FileHeader;
  const file = await open(`${folder}/${leg}.received`, "w");
  const hash = createHash("sha256");
  let bytes = 0;
  try {
    for await (const { data } of events) {
      hash.update(data);
      bytes += data.length;
      await file.write(data);
    }
  } catch (error) {
    tell<Message>({ event: "received", leg, bytes, sha256: "", complete: false });
    throw error;
  } finally {
    await file.close();
  }
  const sha256 = hash.digest("hex");
  const complete = bytes === header.bytes && sha256 === header.sha256;
  tell<Message>({ event: "received", leg, bytes, sha256, complete });
  await stream.write(new TextEncoder().encode(JSON.stringify({ bytes, sha256, complete })));
  await stream.close();
}

await runProcess(async () => {
  const relay = fromContact(JSON.parse(fromEnvironment("DEMO_RELAY")) as Contact);
  const folder = fromEnvironment("DEMO_FOLDER");
  const mesh = await Mesh.open(meshSettings());
  mesh.addEventListener("stream", ({ peer, streamId }) => {
    const leg = streamId === STREAM_IDS.relayed ? "relayed" : "direct";
    const stream = mesh.openStream(peer.nodeId, { streamId, reliability: "reliable", windowBytes: 1 << 20 });
    void runProcess(() => receive(stream, leg, folder));
  });
  await mesh.connect(relay);
  tell<Message>({ event: "listening", ...toContact(mesh.contact) });
  process.once("SIGTERM", () => void mesh.shutdown());
});
