import { describe, expect, it } from "vitest";
import { PortMappingError, SequentialMapper } from "../src/index.ts";
import { MockPortMapper } from "../src/testing/index.ts";
import { mappingOf } from "./mappings.ts";

const hour = 3_600_000;
const refused = () => new PortMappingError("refused", "not-authorized");
const byUpnp = mappingOf(undefined, { protocol: "upnp" });

function both() {
  const gateway = new MockPortMapper();
  const upnp = new MockPortMapper();
  return { gateway, upnp, mapper: new SequentialMapper(gateway, upnp) };
}

/** With UPnP found and the gateway silent. */
async function onUpnp() {
  const all = both();
  all.upnp.probes.push("ok");
  await all.mapper.probe();
  return all;
}

describe("a router with several protocols", () => {
  it("is not asked for ports before it was found", async () => {
    const { mapper, gateway, upnp } = both();
    await expect(mapper.install(9001, hour)).rejects.toMatchObject({ kind: "unavailable" });
    expect([mapper.active, gateway.installed, upnp.installed]).toEqual([undefined, [], []]);
  });

  it("is asked by NAT-PMP first, and by UPnP only when that fails", async () => {
    const { mapper, gateway, upnp } = both();
    gateway.probes.push("ok");
    upnp.probes.push("ok");
    await mapper.probe();
    expect([mapper.active, upnp.probes.length]).toEqual(["nat-pmp", 1]);
    await mapper.probe();
    expect([mapper.active, upnp.probes.length]).toEqual(["upnp", 0]);
  });

  it("that answers in none is reported as UPnP found it, and is active no more", async () => {
    const { mapper, gateway, upnp } = both();
    gateway.probes.push("ok", refused());
    upnp.probes.push(new PortMappingError("timeout"));
    await mapper.probe();
    await expect(mapper.probe()).rejects.toMatchObject({ kind: "timeout" });
    expect(mapper.active).toBeUndefined();
  });

  it("that refuses by NAT-PMP may map by UPnP", async () => {
    const { mapper, gateway, upnp } = both();
    gateway.probes.push("ok");
    gateway.installs.push(refused());
    upnp.installs.push(byUpnp);
    await mapper.probe();
    expect(await mapper.install(9001, hour)).toBe(byUpnp);
    expect(mapper.active).toBe("upnp");
  });

  it("that refuses by both is reported with the first refusal", async () => {
    const { mapper, gateway } = both();
    gateway.probes.push("ok");
    gateway.installs.push(refused());
    await mapper.probe();
    await expect(mapper.install(9001, hour)).rejects.toMatchObject({ detail: "not-authorized" });
    expect(mapper.active).toBeUndefined();
  });

  it("that refuses by UPnP is probed by NAT-PMP before it is asked that way", async () => {
    const { mapper, gateway, upnp } = await onUpnp();
    upnp.installs.push(refused());
    gateway.probes.push("ok");
    gateway.installs.push(mappingOf());
    expect(await mapper.install(9001, hour)).toEqual(mappingOf());
    expect([mapper.active, gateway.probes]).toEqual(["nat-pmp", []]);
  });

  it("is not asked by NAT-PMP when that probe fails", async () => {
    const { mapper, gateway, upnp } = await onUpnp();
    upnp.installs.push(refused());
    gateway.installs.push(mappingOf());
    await expect(mapper.install(9001, hour)).rejects.toMatchObject({ detail: "not-authorized" });
    expect([mapper.active, gateway.installs.length]).toEqual([undefined, 1]);
  });

  it("renews and removes with the protocol of the mapping", async () => {
    const { mapper, gateway, upnp } = await onUpnp();
    gateway.renewals.push(mappingOf());
    upnp.renewals.push(byUpnp);
    await mapper.renew(mappingOf());
    await mapper.renew(byUpnp);
    await mapper.remove(mappingOf());
    await mapper.remove(byUpnp);
    expect([gateway.renewed, gateway.removed]).toEqual([[mappingOf()], [mappingOf()]]);
    expect([upnp.renewed, upnp.removed]).toEqual([[byUpnp], [byUpnp]]);
  });

  it("keeps to its protocol when a renewal fails", async () => {
    const { mapper, gateway, upnp } = await onUpnp();
    gateway.renewals.push(mappingOf());
    await expect(mapper.renew(byUpnp)).rejects.toMatchObject({ kind: "unavailable" });
    expect([mapper.active, gateway.renewals.length, upnp.renewed.length]).toEqual(["upnp", 1, 1]);
  });

  it("passes on what the gateway tells unasked", () => {
    const { mapper, gateway } = both();
    const heard: string[] = [];
    const stop = mapper.watch((notice) => heard.push(notice));
    gateway.notify("restarted");
    stop();
    gateway.notify("restarted");
    expect(heard).toEqual(["restarted"]);
  });
});

describe("a network without a known gateway", () => {
  const alone = () => {
    const upnp = new MockPortMapper();
    return { upnp, mapper: new SequentialMapper(undefined, upnp) };
  };

  it("has UPnP, and its errors", async () => {
    const { upnp, mapper } = alone();
    upnp.probes.push("ok");
    upnp.installs.push(refused());
    await mapper.probe();
    await expect(mapper.install(9001, hour)).rejects.toMatchObject({ detail: "not-authorized" });
  });

  it("has nobody to renew or remove a mapping by NAT-PMP", async () => {
    const { mapper } = alone();
    await expect(mapper.renew(mappingOf())).rejects.toMatchObject({ kind: "unavailable" });
    await expect(mapper.remove(mappingOf())).resolves.toBeUndefined();
    expect(() => mapper.watch(() => {})()).not.toThrow();
  });
});

describe("a signal that ends", () => {
  it.each(["probe", "install"] as const)(
    "during the first %s does not start the second protocol",
    async (call) => {
      const { mapper, gateway, upnp } = both();
      const controller = new AbortController();
      const { signal } = controller;
      if (call === "install") {
        gateway.probes.push("ok");
        await mapper.probe();
      }
      upnp.probes.push("ok");
      upnp.installs.push(byUpnp);
      controller.abort(new Error("shutdown"));
      const done = call === "probe" ? mapper.probe({ signal }) : mapper.install(9001, hour, { signal });
      await expect(done).rejects.toThrow("shutdown");
      expect([upnp.probes.length, upnp.installs.length]).toEqual([1, 1]);
    },
  );
});
