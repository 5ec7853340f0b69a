import {
  CONTROL_STREAM_ID,
  EVENT_LENGTH_PREFIX,
  high32,
  low32,
  NETMESH_CONTROL,
  PACKET_OVERHEAD,
} from "@netmesh/wire";
import type { TestNetwork, TestNode } from "../src/testing/index.ts";

/** A node tells a peer what no engine would: one sealed control event of its session. */
export function tell(network: TestNetwork, from: TestNode, to: TestNode, event: Uint8Array): void {
  const session = from.core.peer(to.nodeId)?.session;
  if (session === undefined) throw new Error("no session to tell anything in");
  const bytes = new Uint8Array(PACKET_OVERHEAD + EVENT_LENGTH_PREFIX + event.length);
  const fields = {
    streamIdLo: low32(CONTROL_STREAM_ID),
    streamIdHi: high32(CONTROL_STREAM_ID),
    sequenceLo: 0,
    sequenceHi: 0,
    flags: 0,
    subprotocolId: NETMESH_CONTROL,
    channelHash: 0,
    originHashLo: 0,
    originHashHi: 0,
  };
  const length = session.builder.buildInto(bytes, 0, fields, [event], 0, 1);
  network.net.inject(bytes.subarray(0, length), from.transport.localAddress, to.transport.localAddress);
}
