import { decodeRoutingHeader, RoutingFlags, SocketAddress, WireError } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { buildRoutedPacket, ForwardingProxy } from "../src/index.ts";

const HOP = SocketAddress.parse("10.0.0.7:9007");
const PAYLOAD = Uint8Array.from({ length: 90 }, (_, i) => i);

function proxyOf(): ForwardingProxy {
  const proxy = new ForwardingProxy(1n);
  proxy.addRoute(7n, HOP, 0);
  return proxy;
}

describe("forwarding proxy", () => {
  it("says why it drops: too short, no header, expired before or by forwarding, no route", () => {
    const proxy = proxyOf();
    expect(proxy.forward(new Uint8Array(17), 0)).toBe("too-short");
    expect(proxy.forward(new Uint8Array(18), 0)).toBe("invalid-header");
    expect(proxy.forward(buildRoutedPacket(5n, 7n, 0, PAYLOAD), 0)).toBe("ttl-expired");
    expect(proxy.forward(buildRoutedPacket(5n, 7n, 1, PAYLOAD), 0)).toBe("ttl-expired");
    expect(proxy.forward(buildRoutedPacket(5n, 9n, 8, PAYLOAD), 0)).toBe("no-route");
    expect(proxy.stats()).toMatchObject({ received: 5, dropped: 5, forwarded: 0 });
    expect(proxy.hopStats(7n)).toMatchObject({ dropped: 2, forwarded: 0 });
  });

  it("sends on with ttl less one, hop count plus one and the payload as it was", () => {
    const proxy = proxyOf();
    const sent: [Uint8Array, SocketAddress][] = [];
    const datagram = buildRoutedPacket(5n, 7n, 8, PAYLOAD);
    const verdict = proxy.forwardAndSend(datagram, 0, (bytes, to) => sent.push([bytes.slice(), to]) > 0);
    expect(verdict).toBe("forward");
    const [[bytes, to]] = sent as [[Uint8Array, SocketAddress]];
    expect(to).toBe(HOP);
    expect(decodeRoutingHeader(bytes)).toMatchObject({ ttl: 7, hopCount: 1 });
    expect(bytes.subarray(18)).toEqual(PAYLOAD);
    expect(proxy.stats()).toMatchObject({ forwarded: 1, bytes: 108 });
  });

  it("passes local packets and drops through without sending", () => {
    const proxy = proxyOf();
    const never = (): boolean => expect.fail("sent");
    expect(proxy.forwardAndSend(buildRoutedPacket(5n, 1n, 0, PAYLOAD), 0, never)).toBe("local");
    expect(proxy.forwardAndSend(buildRoutedPacket(5n, 9n, 8, PAYLOAD), 0, never)).toBe("no-route");
    expect(proxy.stats()).toMatchObject({ local: 1, dropped: 1 });
  });

  it("does not count a forward that could not be sent", () => {
    const proxy = proxyOf();
    expect(proxy.forwardAndSend(buildRoutedPacket(5n, 7n, 8, PAYLOAD), 0, () => false)).toBe("send-failed");
    expect(proxy.stats()).toMatchObject({ received: 1, forwarded: 0, bytes: 0, sendFailed: 1 });
    expect(proxy.hopStats(7n)).toMatchObject({ forwarded: 0, bytes: 0 });
  });

  it("keeps statistics with the route, and none for destinations without one", () => {
    const proxy = proxyOf();
    proxy.forward(buildRoutedPacket(5n, 7n, 8, PAYLOAD), 0);
    proxy.forward(buildRoutedPacket(5n, 9n, 8, PAYLOAD), 0);
    proxy.forward(buildRoutedPacket(5n, 9n, 0, PAYLOAD), 0);
    expect(proxy.hopStats(9n)).toBeUndefined();
    expect(proxy.hopStats(7n)).toMatchObject({ forwarded: 1 });
    expect(proxy.removeRoute(7n)).toBe(true);
    expect(proxy.hopStats(7n)).toBeUndefined();
    expect(proxy.removeRoute(7n)).toBe(false);
    expect(proxy.routeCount).toBe(0);
  });

  it("means latencies, 0 without samples, and counts no sample of 0", () => {
    const proxy = proxyOf();
    proxy.recordLatency(7n, 0);
    expect(proxy.stats().meanLatencyNs).toBe(0);
    proxy.recordLatency(7n, 1000);
    proxy.recordLatency(7n, 2000);
    proxy.recordLatency(9n, 5000);
    expect(proxy.hopStats(7n)?.meanLatencyNs).toBe(1500);
    expect(proxy.stats().meanLatencyNs).toBe(1500);
    expect(proxy.hopStats(9n)).toBeUndefined();
  });

  it("starts everything over on a reset", () => {
    const proxy = proxyOf();
    proxy.forward(buildRoutedPacket(5n, 7n, 8, PAYLOAD), 0);
    proxy.resetStats();
    expect(proxy.stats()).toMatchObject({ received: 0, forwarded: 0, bytes: 0, routes: 1 });
    expect(proxy.hopStats(7n)).toBeUndefined();
  });

  it("does not look for loops", () => {
    expect(proxyOf().forward(buildRoutedPacket(1n, 7n, 8, PAYLOAD), 0)).toBe("forward");
  });
});

it("builds plain, priority and control packets", () => {
  const flags = { plain: 0, priority: RoutingFlags.PRIORITY, control: RoutingFlags.CONTROL };
  for (const kind of ["plain", "priority", "control"] as const) {
    const packet = buildRoutedPacket(0x1_0000_0005n, 7n, 3, PAYLOAD, kind);
    expect(decodeRoutingHeader(packet)).toEqual({
      ttl: 3,
      hopCount: 0,
      flags: flags[kind],
      reserved: 0,
      sourceId: 5,
      destination: 7n,
    });
  }
  expect(() => buildRoutedPacket(5n, 7n, 256, PAYLOAD)).toThrow(WireError);
});
