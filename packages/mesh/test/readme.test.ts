import { createTestNetwork, type TestNode } from "@netmesh/mesh/testing";
import { expect, it } from "vitest";

it("the first lines of the README work", () => {
  const network = createTestNetwork(2, { conditions: { delayMs: 20, loss: 0.1 } });
  const [alice, bob] = network.nodes as [TestNode, TestNode];
  alice.connect(bob);
  const { session, stream } = alice.core.openStream(bob.nodeId, 7n, { reliability: "reliable" });
  alice.call((core) => core.write(session, stream, [new TextEncoder().encode("hello")]));
  network.advance(1_000);
  const [arrived] = bob.eventsOf("data");
  expect(new TextDecoder().decode(arrived?.packet.events[0])).toBe("hello");
});
