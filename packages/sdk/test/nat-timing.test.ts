import { Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { NatNetwork, type Place, type TraversingNode, targetOf } from "./nat-network.ts";

const PLACES: readonly Place[] = ["open", "full-cone", "address-restricted", "port-restricted", "symmetric"];
const DELAY_MS = 20;
/** There and back over a relay. */
const ROUND_TRIP_MS = 4 * DELAY_MS;

async function pairOf(here: Place, there: Place) {
  const net = new NatNetwork({ conditions: { delayMs: DELAY_MS } });
  const [a, b] = [net.join(here), net.join(there)];
  await net.advance(15_000);
  return { net, a, b };
}

/** Moments at which data of a node arrives. */
function arrivals(net: NatNetwork, { node }: TraversingNode): number[] {
  const moments: number[] = [];
  node.listeners.add((event) => {
    if (event.type === "data") moments.push(net.network.clock.now());
  });
  return moments;
}

function say({ node }: TraversingNode, to: TraversingNode): void {
  node.call((core) => core.send(to.node.nodeId, 0n, [Uint8Array.of(1)]));
}

describe("the first byte to a peer behind a NAT", () => {
  it("takes the handshake and two round trips over the relay at most", async () => {
    const { net, a, b } = await pairOf("port-restricted", "port-restricted");
    const startMs = net.network.clock.now();
    const moments = arrivals(net, b);
    a.node.listeners.add((event) => {
      if (event.type === "peer-connected") say(a, b);
    });
    const call = a.nat.traversal.connectDirect(targetOf(b));
    await net.within(call);
    const handshakeMs = ROUND_TRIP_MS;
    expect((moments[0] ?? Number.POSITIVE_INFINITY) - startMs).toBeLessThanOrEqual(
      handshakeMs + 2 * ROUND_TRIP_MS,
    );
  });
});

describe("the direct path", () => {
  for (const here of PLACES) {
    for (const there of PLACES) {
      if (here === "symmetric" && there === "symmetric") continue;
      it(`from ${here} to ${there} is in use within a second of the introduction`, async () => {
        const { net, a, b } = await pairOf(here, there);
        let introducedMs = Number.POSITIVE_INFINITY;
        for (const { nat } of net.relays) {
          const send = nat.send.bind(nat);
          nat.send = (nodeId, subprotocolId, message) => {
            const isIntroduction = subprotocolId === Subprotocol.RENDEZVOUS && message[0] === 2;
            if (isIntroduction) introducedMs = Math.min(introducedMs, net.network.clock.now());
            return send(nodeId, subprotocolId, message);
          };
        }
        const startMs = net.network.clock.now();
        await net.within(a.nat.traversal.connectDirect(targetOf(b)));
        const endMs = net.network.clock.now();
        await net.advance(200);
        expect([routed(a, b), routed(b, a)]).toEqual([false, false]);
        // Where nobody had to introduce anybody, it counts from the beginning. `within` looks every 100 ms.
        expect(endMs - Math.max(startMs, Math.min(introducedMs, endMs))).toBeLessThanOrEqual(1_100);
      });
    }
  }
});

describe("a NAT that forgets its mappings", () => {
  it.each(["open", "port-restricted"] as const)(
    "lets data through to a peer of kind %s and back again within two seconds",
    async (there) => {
      const { net, a, b } = await pairOf("port-restricted", there);
      await net.within(a.nat.traversal.connectDirect(targetOf(b)));
      await net.advance(3_000);
      expect([routed(a, b), routed(b, a)]).toEqual([false, false]);
      const [atA, atB] = [arrivals(net, a), arrivals(net, b)];
      const talk = async (durationMs: number) => {
        for (let passed = 0; passed < durationMs; passed += 100) {
          say(a, b);
          say(b, a);
          await net.advance(100);
        }
      };
      await talk(2_000);
      a.box?.restart();
      const restartMs = net.network.clock.now();
      await talk(10_000);
      for (const moments of [atA, atB]) {
        const all = [restartMs, ...moments.filter((moment) => moment > restartMs + 2 * DELAY_MS)];
        const gaps = all.slice(1).map((moment, i) => moment - (all[i] as number));
        expect(Math.max(...gaps)).toBeLessThanOrEqual(2_000);
      }
    },
  );
});

function routed(from: TraversingNode, to: TraversingNode): boolean | undefined {
  return from.node.core.peer(to.node.nodeId)?.session?.path.routed;
}
