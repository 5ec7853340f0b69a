import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { type Contact, fromContact, fromEnvironment, runProcess, tell } from "@netmesh/demo-processes";
import { Mesh, type Peer } from "@netmesh/sdk";
import {
  type FileHeader,
  type Leg,
  type Message,
  meshSettings,
  type Received,
  STREAM_IDS,
} from "./messages.ts";

const PROGRESS_INTERVAL_MS = 100;

/** Sends the file to the peer and waits until the peer has confirmed its hash. */
async function send(mesh: Mesh, peer: Peer, path: string, leg: Leg): Promise<void> {
  const { size } = await stat(path);
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(path)) hash.update(chunk as Uint8Array);
  const header: FileHeader = { name: basename(path), bytes: size, sha256: hash.digest("hex") };

  const stream = mesh.openStream(peer.nodeId, {
    streamId: STREAM_IDS[leg],
    reliability: "reliable",
    windowBytes: 1 << 20,
  });
  const before = mesh.stats().counters;
  const started = performance.now();
  await stream.write(new TextEncoder().encode(JSON.stringify(header)));
  let bytes = 0;
  let toldAt = started;
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 })) {
    const data = chunk as Uint8Array;
    await stream.writeBytes(data);
    bytes += data.length;
    if (performance.now() - toldAt >= PROGRESS_INTERVAL_MS) {
      toldAt = performance.now();
      tell<Message>({ event: "progress", leg, bytes, total: size });
    }
  }
  await stream.end();
  const milliseconds = performance.now() - started;
  const { txSequence } = stream.stats();
  let confirmed: Received | undefined;
  // To its end, so that the receiver's last packet is acknowledged before this process goes.
  for await (const { data } of stream) confirmed = JSON.parse(new TextDecoder().decode(data)) as Received;
  if (confirmed === undefined) throw new Error("the receiver did not answer");
  await stream.close();
  const after = mesh.stats().counters;
  const retransmissions =
    after.retransmitNack + after.retransmitTimeout - before.retransmitNack - before.retransmitTimeout;
  if (!confirmed.complete)
    throw new Error(`the file arrived incomplete: ${confirmed.bytes} of ${size} bytes`);
  tell<Message>({
    event: "sent",
    leg,
    bytes,
    milliseconds,
    packets: txSequence,
    retransmissions,
    path: peer.path,
    sha256: header.sha256,
  });
}

await runProcess(async () => {
  const relay = fromContact(JSON.parse(fromEnvironment("DEMO_RELAY")) as Contact);
  const receiver = fromContact(JSON.parse(fromEnvironment("DEMO_RECEIVER")) as Contact);
  const path = fromEnvironment("DEMO_FILE");
  await using mesh = await Mesh.open(meshSettings());
  const throughRelay = await mesh.connect(relay);
  await send(mesh, await mesh.connectVia(throughRelay.nodeId, receiver), path, "relayed");
  await send(mesh, await mesh.connect(receiver), path, "direct");
});
