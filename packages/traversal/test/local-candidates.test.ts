import { encodeRendezvous, SocketAddress, Subprotocol } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { Traversal } from "../src/index.ts";
import { toBlock } from "../src/socket-block.ts";
import { FakeHost } from "./fake-host.ts";
import { VirtualTimers } from "./virtual-timers.ts";

const PEER = 2n;
const random = { fill: (bytes: Uint8Array): void => void bytes.fill(1) };

function node(sharesLocalAddresses = true) {
  const timers = new VirtualTimers();
  const host = new FakeHost(timers);
  host.add(PEER);
  const traversal = new Traversal({ host, timers, random, sharesLocalAddresses });
  const tell = (...texts: string[]) => {
    const addresses = texts.flatMap((text) => toBlock(SocketAddress.parse(text)) ?? []);
    const bytes = encodeRendezvous({ type: "punch-candidates", addresses });
    traversal.receive(PEER, Subprotocol.RENDEZVOUS, bytes);
  };
  return { timers, host, traversal, tell };
}

describe("addresses of a peer's host", () => {
  it("are asked at IPv6 first, at IPv4 a quarter of a second later", async () => {
    const { timers, host, tell } = node();
    host.interfaces = ["192.168.1.5", "2001:db8:1::5"];
    tell("192.168.1.9:7000", "[2001:db8:2::9]:7000");
    await timers.advance(2_000);
    expect(host.asked).toEqual([
      ["[2001:db8:2::9]:7000", 0],
      ["[2001:db8:2::9]:7000", 250],
      ["192.168.1.9:7000", 250],
      ["[2001:db8:2::9]:7000", 500],
      ["192.168.1.9:7000", 500],
      ["192.168.1.9:7000", 750],
    ]);
  });

  it("are asked at public addresses of IPv6 only by a host that has one, too, and a socket for it", async () => {
    const without = node();
    without.tell("[2001:db8:2::9]:7000");
    const ofIpv4 = node();
    ofIpv4.host.interfaces = ["192.168.1.5", "2001:db8:1::5"];
    ofIpv4.host.localAddress = SocketAddress.parse("0.0.0.0:7000");
    ofIpv4.tell("[2001:db8:2::9]:7000");
    for (const { timers, host, traversal } of [without, ofIpv4]) {
      await timers.advance(2_000);
      expect([host.asked, traversal.stats.candidates.implausible]).toEqual([[], 1]);
    }
  });

  it("are asked elsewhere in private networks only when both nodes are behind the same NAT", async () => {
    const reflex = SocketAddress.parse("198.51.100.7:9000");
    const apart = node();
    const together = node();
    for (const { host, traversal } of [apart, together]) {
      traversal.setReflexOverride(reflex);
      host.reflexes.set(PEER, SocketAddress.parse("198.51.100.8:9000"));
    }
    together.host.reflexes.set(PEER, SocketAddress.parse("198.51.100.7:9001"));
    for (const { timers, tell } of [apart, together]) {
      tell("10.7.7.7:7000");
      await timers.advance(2_000);
    }
    expect(apart.host.asked).toEqual([]);
    expect(together.host.asked).toHaveLength(3);
  });

  it("are asked no more once there is a direct path", async () => {
    const { timers, host, tell } = node();
    tell("192.168.1.9:7000");
    await timers.advance(100);
    host.add(PEER, { isDirect: true });
    await timers.advance(2_000);
    expect(host.asked).toHaveLength(1);
  });

  it("are answered with this host's, without loopback and addresses of one link only", () => {
    const { host, tell } = node();
    host.interfaces = ["127.0.0.1", "::1", "fe80::1", "169.254.1.1", "192.168.1.5", "2001:db8:1::5"];
    tell("192.168.1.9:7000");
    const own = ["[2001:db8:1::5]:7000", "192.168.1.5:7000"].map((text) =>
      toBlock(SocketAddress.parse(text)),
    );
    expect(host.sent).toEqual([[PEER, { type: "punch-candidates", addresses: own }]]);
  });

  it("are neither told nor taken where the operator does not want it", async () => {
    const { timers, host, tell, traversal } = node(false);
    tell("192.168.1.9:7000");
    await timers.advance(2_000);
    expect([host.asked, host.sent, traversal.stats.candidates.refused]).toEqual([[], [], 1]);
  });

  it("end with the node", async () => {
    const { timers, host, tell, traversal } = node();
    tell("192.168.1.9:7000");
    traversal.close();
    await timers.advance(2_000);
    expect(host.asked.length).toBeLessThanOrEqual(1);
  });
});
