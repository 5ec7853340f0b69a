/** A thread that seals as many packets as it is told to, one after the other into the same buffer. */
import { parentPort } from "node:worker_threads";
import { acceptSealing, PacketBuilder, packetFields, type SealingGrant } from "@netmesh/pool";
import { PACKET_OVERHEAD } from "@netmesh/wire";

/** Bytes of the one event of each packet. */
export const EVENT_SIZE = 1200;

let builder: PacketBuilder | undefined;
const fields = packetFields();
const events = [new Uint8Array(EVENT_SIZE)];
const target = new Uint8Array(PACKET_OVERHEAD + 4 + EVENT_SIZE);

parentPort?.on("message", (message: SealingGrant | number) => {
  if (typeof message === "number") {
    for (let i = 0; i < message; i++) builder?.buildInto(target, 0, fields, events, 0, 1);
  } else {
    builder = new PacketBuilder(acceptSealing(message));
  }
  parentPort?.postMessage("done");
});
