import { encodeMembership, Subprotocol } from "@netmesh/wire";
import { bench, describe } from "vitest";
import { createTestNetwork } from "../src/testing/index.ts";

/** A publisher with so many subscribers, whose packets go nowhere. */
function publisherOf(subscribers: number) {
  const network = createTestNetwork(1, { node: { handshakesPerSecond: { perSource: 1e6, total: 1e6 } } });
  const [publisher] = network.nodes;
  if (publisher === undefined) throw new Error("no node");
  for (let i = 0; i < subscribers; i++) {
    const node = network.add();
    node.connect(publisher);
    const message = encodeMembership({ type: "subscribe", nonce: BigInt(i), channel: "bench" });
    node.call((core) => core.sendMessage(publisher.nodeId, Subprotocol.CHANNEL_MEMBERSHIP, message));
  }
  network.advance(100);
  const { core } = publisher;
  if (core.channelStats.subscribers !== subscribers) throw new Error("not everybody has subscribed");
  const nowhere = { send: (batch: { readonly count: number }) => batch.count, event: () => {} };
  core.drain(nowhere);
  return { core, nowhere };
}

// Nobody answers, so the windows are opened by hand.
describe("an event of 256 bytes for every subscriber", () => {
  const events = [new Uint8Array(256)];
  for (const count of [1, 100, 1_000]) {
    const { core, nowhere } = publisherOf(count);
    bench(`${count} subscribers`, () => {
      for (const { session } of core.peers) {
        for (const stream of session?.streams ?? []) stream.credit.remaining = 65_536;
      }
      core.channels.publish("bench", events, {});
      core.drain(nowhere);
    });
  }
});
