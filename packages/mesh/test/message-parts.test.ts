import { encodePacketPart, MESSAGE_PART_FLAG, NETMESH_CONTROL, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import type { TestNode } from "../src/testing/index.ts";
import { pair } from "./traffic.ts";

const VENDOR = 0x2001;

/** Sends a message of that id in two parts, one of which may be left out. */
function sendParts(from: TestNode, to: TestNode, streamIdLo: number, streamIdHi = 0, skip = -1): void {
  const plainText = new Uint8Array(1_500);
  plainText[0] = 1_496 & 0xff;
  plainText[1] = 1_496 >> 8;
  for (const index of [0, 1]) {
    if (index === skip) continue;
    const packet = {
      streamIdLo,
      streamIdHi,
      sequenceLo: 1,
      sequenceHi: 0,
      flags: MESSAGE_PART_FLAG,
      eventCount: 1,
    };
    const part = encodePacketPart(packet, plainText, index);
    from.call((core) => core.sendMessage(to.nodeId, NETMESH_CONTROL, part));
  }
}

describe("a message in parts", () => {
  it("reaches its handler once it is complete, in whatever order and however often its parts come", () => {
    const { network, a, b } = pair();
    b.call((core) => core.registerSubprotocol(VENDOR));
    sendParts(a, b, VENDOR, 0, 0);
    network.advance(10);
    expect(b.eventsOf("message")).toHaveLength(0);
    sendParts(a, b, VENDOR, 0, 1);
    network.advance(10);
    expect(b.eventsOf("message").map(({ data }) => data.length)).toEqual([1_496]);
  });

  it("is an ordinary event where nobody handles its subprotocol", () => {
    const { network, a, b } = pair();
    sendParts(a, b, VENDOR);
    network.advance(10);
    const [event] = b.eventsOf("data");
    expect(event?.stream.id).toBe(BigInt(VENDOR));
    expect(event?.packet.subprotocolId).toBe(VENDOR);
    expect(event?.packet.events.map(({ length }) => length)).toEqual([1_496]);
  });

  it("is malformed where it would be about streams or sessions, or about no subprotocol", () => {
    const { network, a, b } = pair();
    const ids = [
      Subprotocol.EVENTS,
      Subprotocol.STREAM_WINDOW,
      Subprotocol.STREAM_NACK,
      Subprotocol.STREAM_RESET,
    ];
    for (const id of [...ids, NETMESH_CONTROL, 0x1_0000]) sendParts(a, b, id);
    sendParts(a, b, VENDOR, 1);
    network.advance(10);
    expect(b.core.counters.controlMalformed).toBe(14);
    expect(b.eventsOf("data")).toHaveLength(0);
  });

  it("is dropped, and counted, where the engine knows the subprotocol and this node does not deal with it", () => {
    const { network, a, b } = pair();
    sendParts(a, b, Subprotocol.FOLD);
    network.advance(10);
    expect(b.core.counters.handlerMissing).toBe(1);
  });
});
