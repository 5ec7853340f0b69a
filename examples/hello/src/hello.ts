import { Mesh } from "@netmesh/sdk";

const psk = crypto.getRandomValues(new Uint8Array(32)); // every node of a mesh holds it
await using alice = await Mesh.open({ bind: "127.0.0.1:0", psk });
await using bob = await Mesh.open({ bind: "127.0.0.1:0", psk });

bob.addEventListener("stream", async ({ peer, streamId }) => {
  const stream = bob.openStream(peer.nodeId, { streamId, reliability: "reliable" });
  for await (const { data } of stream) await stream.write(data); // echo, in order, nothing lost
  await stream.end();
});

await alice.connect(bob.contact); // node id, public key, address
const stream = alice.openStream(bob.nodeId, { streamId: 7n, reliability: "reliable" });
await stream.write(new TextEncoder().encode("hello mesh"));
await stream.end();
for await (const { data } of stream) console.log(new TextDecoder().decode(data));
