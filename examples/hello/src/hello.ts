import { Mesh } from "@netmesh/sdk";

const psk = crypto.getRandomValues(new Uint8Array(32)); // every node of a mesh holds it
await using alice = await Mesh.open({ bind: "127.0.0.1:0", psk });
await using bob = await Mesh.open({ bind: "127.0.0.1:0", psk });
await alice.connect(bob.contact); // node id, public key, address
const options = { streamId: 7n, reliability: "reliable" } as const;
await using out = alice.openStream(bob.nodeId, options);
await out.write(new TextEncoder().encode("hello mesh"));
await out.end(); // everything has arrived
for await (const { data } of bob.openStream(alice.nodeId, options))
  console.log(new TextDecoder().decode(data));
