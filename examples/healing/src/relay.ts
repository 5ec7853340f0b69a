// A relay that connects to the nodes it is told of.
import {
  type Contact,
  fromContact,
  fromEnvironment,
  runProcess,
  tell,
  toContact,
} from "@netmesh/demo-processes";
import { Mesh } from "@netmesh/sdk";
import { type Message, meshSettings } from "./messages.ts";

await runProcess(async () => {
  const mesh = await Mesh.open(meshSettings());
  for (const contact of JSON.parse(fromEnvironment("DEMO_NEIGHBORS")) as Contact[]) {
    await mesh.connect(fromContact(contact));
  }
  tell<Message>({ event: "listening", ...toContact(mesh.contact) });
  process.once("SIGTERM", () => void mesh.shutdown());
});
