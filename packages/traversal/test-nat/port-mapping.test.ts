import { HOUSEHOLDS, NatLab, PUBLIC_HOSTS, whyUnavailable } from "@netmesh/nat-lab";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NodeProcess } from "./node-process.ts";

const HELLO = `require("dgram").createSocket("udp4").send(process.argv[1], +process.argv[3], process.argv[2], () => process.exit())`;

/** A router that was up for a second or two before it restarts has an epoch that looks right (RFC 6887 §8.5). */
const UP_FOR_MS = 4_000;

describe.skipIf(whyUnavailable() !== undefined)("a node at home", () => {
  let lab: NatLab;

  beforeEach(() => {
    lab = NatLab.create({ a: "port-restricted" });
  });

  afterEach(async () => {
    await lab[Symbol.asyncDispose]();
  });

  /** A datagram from a host that the node has never talked to. */
  function stranger(text: string, address: string): void {
    const [host = "", port = ""] = address.split(":");
    lab.run("public-2", process.execPath, ["-e", HELLO, text, host, port]);
  }

  /** What the router maps at present, as its firewall shows it. */
  function rulesOfRouter(): string {
    return lab.daemon("a").rules;
  }

  describe.each([
    ["PCP", ["pcp"], {}, "pcp"],
    ["NAT-PMP", ["nat-pmp"], {}, "nat-pmp"],
    ["UPnP version 2", ["upnp"], { gateway: false }, null],
    ["UPnP version 1", ["upnp"], { gateway: false, isVersion1: true }, null],
    ["everything", undefined, {}, "pcp"],
    ["UPnP only, and who is asked for everything", undefined, { gateway: false }, null],
  ] as const)("whose router speaks %s", (_, protocols, daemon, variant) => {
    // Who speaks to the gateway hears from it what has changed; UPnP sees it when it renews.
    const renewalMs = variant === null ? 1_000 : 1_800_000;
    const asked = protocols === undefined ? {} : { protocols };

    it("is reached by strangers, within three seconds, until it shuts down", async () => {
      await lab.daemon("a").start(daemon);
      const node = new NodeProcess(lab, "home-a", { ...asked, renewalMs: 1_000 });
      const { address, afterMs } = await node.next("published");
      expect(address).toBe(`${lab.publicAddress("a")}:7000`);
      expect(afterMs).toBeLessThan(3_000);

      stranger("hello", address ?? "");
      expect(await node.next("datagram")).toMatchObject({ text: "hello", from: PUBLIC_HOSTS["public-2"] });

      expect((await node.next("renewed")).variant).toBe(variant);
      stranger("again", address ?? "");
      expect(await node.next("datagram")).toMatchObject({ text: "again" });

      expect(rulesOfRouter()).toContain("7000");
      await node.shutDown();
      expect(rulesOfRouter()).not.toContain("7000");
    });

    it("announces the new address when the provider changes it", async () => {
      await lab.daemon("a").start(daemon);
      const node = new NodeProcess(lab, "home-a", { ...asked, renewalMs });
      await node.next("published");
      lab.wanAddress("a", "44.128.1.77");
      expect((await node.next("published")).address).toBe("44.128.1.77:7000");
      stranger("still there?", "44.128.1.77:7000");
      expect(await node.next("datagram")).toMatchObject({ text: "still there?" });
      await node.shutDown();
    });

    it("is reached again after the router was turned off and on", async () => {
      await lab.daemon("a").start(daemon);
      await new Promise((resolve) => setTimeout(resolve, UP_FOR_MS));
      const node = new NodeProcess(lab, "home-a", { ...asked, renewalMs });
      const { address } = await node.next("published");
      await lab.reboot("a");
      await node.next("renewed");
      stranger("back?", address ?? "");
      expect(await node.next("datagram")).toMatchObject({ text: "back?" });
      await node.shutDown();
    });
  });

  it.each(["pcp", "nat-pmp", "upnp"] as const)(
    "behind a NAT of its provider publishes nothing by %s",
    async (protocol) => {
      lab.carrierNat("a", true);
      await lab.daemon("a").start();
      const node = new NodeProcess(lab, "home-a", { protocols: [protocol] });
      await node.next("waiting");
      expect(node.published).toEqual([]);
      expect(rulesOfRouter()).not.toContain("7000");
      lab.carrierNat("a", false);
      await lab.daemon("a").restart();
      expect((await node.next("published")).address).toBe(`${lab.publicAddress("a")}:7000`);
      await node.shutDown();
    },
  );

  it("whose router refuses stays unmapped, by both protocols", async () => {
    await lab.daemon("a").start({ denies: true });
    const node = new NodeProcess(lab, "home-a");
    expect((await node.next("waiting")).kind).toBe("refused");
    const counters = await node.shutDown();
    expect(counters["timeouts"]).toBe(0);
  });

  it("whose router offers nothing has said so within four seconds, and is mapped when the router learns it", async () => {
    const node = new NodeProcess(lab, "home-a");
    expect((await node.next("waiting")).kind).toBe("unavailable");
    await lab.daemon("a").start();
    expect((await node.next("published")).address).toBe(`${lab.publicAddress("a")}:7000`);
    await node.shutDown();
  });

  it("gives its address up when the router loses its daemon for good", async () => {
    await lab.daemon("a").start();
    const node = new NodeProcess(lab, "home-a", { renewalMs: 500 });
    expect((await node.next("published")).address).not.toBeNull();
    await lab.daemon("a").stop();
    expect((await node.next("published")).address).toBeNull();
    await node.shutDown();
  });

  it("whose port is taken gets another one, and keeps it", async () => {
    await lab.daemon("a").start({ gateway: false });
    const { host, gateway } = HOUSEHOLDS.a;
    // The router's second host, which has the port already.
    lab.run("home-a", "ip", ["addr", "add", "192.168.1.11/24", "dev", "eth0"]);
    lab.run("home-a", "ip", ["route", "replace", `${gateway}/32`, "dev", "eth0", "src", "192.168.1.11"]);
    const first = new NodeProcess(lab, "home-a", { protocols: ["upnp"], port: 7000 });
    const firstAddress = (await first.next("published")).address;
    lab.run("home-a", "ip", ["route", "replace", `${gateway}/32`, "dev", "eth0", "src", host]);
    const second = new NodeProcess(lab, "home-a", { protocols: ["upnp"], port: 7001, renewalMs: 1_000 });
    expect((await second.next("published")).address).not.toBe(firstAddress);
    await second.next("renewed");
    await second.next("renewed");
    expect(second.published).toHaveLength(1);
    await second.shutDown();
    await first.shutDown();
  });
});
