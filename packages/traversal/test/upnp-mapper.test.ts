import { describe, expect, it } from "vitest";
import { PortMappingError, portMappingCounters, UpnpMapper, type UpnpMapperOptions } from "../src/index.ts";
import { FakeRouter } from "./fake-router.ts";
import { mappingOf } from "./mappings.ts";
import { seededRandom } from "./scripted-random.ts";
import { outcome, VirtualTimers } from "./virtual-timers.ts";

const hour = 3_600_000;
const ip2 = "urn:schemas-upnp-org:service:WANIPConnection:2";
const ip1 = "urn:schemas-upnp-org:service:WANIPConnection:1";
const ppp = "urn:schemas-upnp-org:service:WANPPPConnection:1";
const bytes = (body: string) => new TextEncoder().encode(body);

function setup(options: Partial<UpnpMapperOptions> = {}) {
  const timers = new VirtualTimers();
  const router = new FakeRouter(timers);
  const counters = portMappingCounters();
  const mapper = new UpnpMapper({
    search: router,
    http: router,
    gateway: "192.168.1.1",
    timers,
    counters,
    random: seededRandom(3),
    ...options,
  });
  return {
    timers,
    router,
    counters,
    mapper,
    probe: () => outcome(timers, mapper.probe()),
    install: (port = 9001, ttlMs = hour) => outcome(timers, mapper.install(port, ttlMs)),
    renew: (mapping = mappingOf(undefined, { protocol: "upnp" })) => outcome(timers, mapper.renew(mapping)),
    remove: (mapping = mappingOf(undefined, { protocol: "upnp" })) => outcome(timers, mapper.remove(mapping)),
  };
}

describe("searching for a router", () => {
  it("asks for gateways and their services, twice, and wants answers within a second", async () => {
    const { probe, router, mapper } = setup();
    router.answerAfterMs = undefined;
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
    expect(router.searches).toHaveLength(10);
    expect(router.searches[0]).toBe(
      'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n' +
        "ST: urn:schemas-upnp-org:device:InternetGatewayDevice:2\r\n\r\n",
    );
    expect([mapper.hasRouter, router.openSockets]).toEqual([false, 0]);
  });

  it("takes the default gateway as soon as it answers", async () => {
    const { timers, mapper, router } = setup();
    const call = mapper.probe();
    await timers.advance(60);
    await call;
    expect([mapper.hasRouter, router.openSockets]).toEqual([true, 0]);
  });

  it("takes another router when the search is over", async () => {
    const { timers, mapper, router, probe } = setup({ gateway: undefined });
    await expect(probe()).resolves.toBeUndefined();
    expect(mapper.hasRouter).toBe(true);
    expect(router.requests.length).toBeGreaterThan(0);
    expect(timers.pending).toBe(0);
  });

  it("prefers the default gateway to one that answers earlier", async () => {
    const { mapper, router, install } = setup();
    router.answerAfterMs = 300;
    const call = install();
    router.answerSearch("http://192.168.1.99:80/root.xml", "192.168.1.99");
    await call;
    expect(mapper.hasRouter).toBe(true);
    expect(router.requests.every(({ host }) => host === "192.168.1.1")).toBe(true);
  });

  it("gives up after two seconds when the description does not come", async () => {
    const { mapper, router, timers, counters } = setup();
    router.override = () => "silence";
    const call = mapper.probe();
    call.catch(() => {});
    await timers.advance(2_000);
    await expect(call).rejects.toMatchObject({ kind: "timeout" });
    expect(router.requests.every(({ signal }) => signal.aborted)).toBe(true);
    expect([counters.timeouts, router.openSockets, timers.pending]).toEqual([1, 0, 0]);
  });

  it("ends with the signal, and with it sockets and requests", async () => {
    const { mapper, router, timers } = setup();
    router.override = () => "silence";
    const controller = new AbortController();
    const call = mapper.probe({ signal: controller.signal });
    call.catch(() => {});
    await timers.advance(100);
    controller.abort(new Error("shutdown"));
    await timers.advance(0);
    await expect(call).rejects.toThrow("shutdown");
    expect(router.requests[0]?.signal.aborted).toBe(true);
    expect([router.openSockets, timers.pending]).toEqual([0, 0]);
  });

  it("finds nothing without an interface", async () => {
    const { probe } = setup({ search: { open: async () => [] } });
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
  });
});

describe("search answers that point elsewhere", () => {
  it.each([
    ["another host", "http://192.168.1.50:80/root.xml", "192.168.1.66"],
    ["the Internet", "http://44.128.9.9/root.xml", "44.128.9.9"],
    ["loopback", "http://127.0.0.1:631/root.xml", "192.168.1.66"],
    ["a name", "http://router.example/root.xml", "192.168.1.66"],
    ["IPv6", "http://[fe80::1]/root.xml", "192.168.1.66"],
    ["https", "https://192.168.1.66/root.xml", "192.168.1.66"],
    ["a file", "file:///etc/passwd", "192.168.1.66"],
    ["a password", "http://user:secret@192.168.1.66/root.xml", "192.168.1.66"],
    ["port 0", "http://192.168.1.66:0/root.xml", "192.168.1.66"],
    ["nowhere", "http://", "192.168.1.66"],
    ["too much", `http://192.168.1.66/${"x".repeat(2000)}`, "192.168.1.66"],
    ["loopback in disguise", "http://0x7f000001/root.xml", "192.168.1.66"],
  ])("at %s are refused, counted and never fetched", async (_, location, source) => {
    const { mapper, router, timers, counters } = setup();
    router.answerAfterMs = undefined;
    const call = mapper.probe();
    call.catch(() => {});
    await timers.advance(10);
    router.answerSearch(location, source);
    await timers.advance(3_000);
    await expect(call).rejects.toMatchObject({ kind: "unavailable" });
    expect([counters.refusedLocations, router.requests]).toEqual([1, []]);
  });

  it("that are unreadable or about something else are counted", async () => {
    const { mapper, router, timers, counters } = setup();
    router.answerAfterMs = undefined;
    const call = mapper.probe();
    call.catch(() => {});
    await timers.advance(10);
    const { address } = router;
    router.datagram("", address);
    router.datagram("NOTIFY * HTTP/1.1\r\nLOCATION: http://192.168.1.1/\r\n\r\n", address);
    router.datagram("HTTP/1.1 404 Not Found\r\n\r\n", address);
    router.datagram(
      "HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nUSN: 1\r\nLOCATION: http://192.168.1.1/\r\n\r\n",
      address,
    );
    router.datagram(`HTTP/1.1 200 OK\r\n${"x: y\r\n".repeat(100)}\r\n`, address);
    router.datagram(`HTTP/1.1 200 OK\r\n${"x".repeat(5000)}\r\n`, address);
    await timers.advance(3_000);
    await expect(call).rejects.toMatchObject({ kind: "unavailable" });
    expect([counters.ignoredSearchAnswers, router.requests]).toEqual([6, []]);
  });

  it("in a flood leave the default gateway its place", async () => {
    const { mapper, router, timers, counters } = setup();
    router.answerAfterMs = 900;
    const call = mapper.probe();
    await timers.advance(10);
    for (let host = 0; host < 1000; host += 1) {
      const source = `192.168.1.${20 + (host % 200)}`;
      router.answerSearch(`http://${source}:${1000 + host}/root.xml`, source);
    }
    await timers.advance(1_000);
    await call;
    expect(counters.ignoredSearchAnswers).toBeGreaterThan(900);
    expect(router.requests.every(({ host }) => host === "192.168.1.1")).toBe(true);
  });
});

describe("a description that a hostile or broken router serves", () => {
  const bomb =
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]><root>&b;</root>';
  it.each([
    ["with an entity bomb", bomb],
    ["with an external entity", '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]><root>&x;</root>'],
    ["with an unknown entity", "<root>&lol;</root>"],
    ["cut short", "<root><device><serviceList>"],
    ["that is not XML", "hello"],
    ["that is empty", ""],
    ["nested without end", "<a>".repeat(100)],
    ["of very many elements", `<root>${"<a/>".repeat(5000)}</root>`],
  ])("%s is refused and counted", async (_, body) => {
    const { probe, router, counters } = setup();
    router.override = () => ({ body: bytes(body) });
    await expect(probe()).rejects.toMatchObject({ kind: "transport" });
    expect(counters.malformedDocuments).toBe(1);
  });

  it("that is not UTF-8 is refused", async () => {
    const { probe, router, counters } = setup();
    router.override = () => ({ body: new Uint8Array([0x3c, 0x61, 0x3e, 0xff, 0xfe]) });
    await expect(probe()).rejects.toMatchObject({ kind: "transport" });
    expect(counters.malformedDocuments).toBe(1);
  });

  it("beyond 256 KiB is not read to its end", async () => {
    const { probe, router, counters } = setup();
    router.override = ({ maxBytes }) => ({ body: new Uint8Array(maxBytes), isCut: true });
    await expect(probe()).rejects.toMatchObject({
      kind: "transport",
      detail: "a document that is too large",
    });
    expect(router.requests[0]?.maxBytes).toBe(262_144);
    expect(counters.oversizedDocuments).toBe(1);
  });

  it("as a redirect is not followed", async () => {
    const { probe, router, counters } = setup();
    router.override = () => ({ status: 302 });
    await expect(probe()).rejects.toMatchObject({ kind: "transport", detail: "http status 302" });
    expect([counters.refusedRedirects, router.requests.length]).toEqual([1, 1]);
  });

  it.each(["http://192.168.1.50/control", "//44.128.9.9/control", "http://localhost:631/"])(
    "with its control at %s is refused and counted",
    async (controlUrl) => {
      const { probe, router, counters } = setup();
      router.controlUrl = controlUrl;
      await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
      expect([counters.refusedUrls, router.requests.length]).toEqual([1, 1]);
    },
  );

  it("with its base at another host is refused", async () => {
    const { probe, router, counters } = setup();
    router.baseUrl = "http://192.168.1.50/";
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
    expect(counters.refusedUrls).toBe(1);
  });

  it("without a service that maps ports is of no use", async () => {
    const { probe, router } = setup();
    router.services = ["urn:schemas-upnp-org:service:Layer3Forwarding:1"];
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
  });

  it("that is not there is reported", async () => {
    const { probe, router } = setup();
    router.override = () => ({ status: 404, body: new Uint8Array() });
    await expect(probe()).rejects.toMatchObject({ detail: "http status 404" });
  });
});

describe("a description that only looks unusual", () => {
  it.each([
    ["an absolute control URL", { controlUrl: "http://192.168.1.1:5431/x?y=1" }, [5431, "/x?y=1"]],
    ["a relative one", { controlUrl: "upnp/control" }, [5000, "/upnp/control"]],
    ["a base of its own", { controlUrl: "c", baseUrl: "http://192.168.1.1:8080/b/" }, [8080, "/b/c"]],
  ])("with %s works", async (_, fields, expected) => {
    const { probe, router } = setup();
    Object.assign(router, fields);
    await probe();
    const { port, path } = router.requests.at(-1) ?? {};
    expect([port, path]).toEqual(expected);
  });

  it.each([ip2, ip1, ppp])("with the service %s is called by that name", async (service) => {
    const { install, router } = setup();
    router.services = [service];
    await install();
    expect(router.calls.every((call) => call.service === service)).toBe(true);
  });

  it("with several services takes the one that is connected", async () => {
    const { install, router } = setup();
    router.services = [ip1, ppp];
    router.status = { [ip1]: "Disconnected" };
    await install();
    expect(router.calls.at(-1)?.service).toBe(ppp);
  });
});

describe("a mapping by UPnP", () => {
  it("is the port that was wished for, with all arguments in their order", async () => {
    const { install, router } = setup();
    const mapping = await install();
    expect(mapping).toMatchObject({ internalPort: 9001, ttlMs: hour, protocol: "upnp" });
    expect(mapping.external.key).toBe("44.128.1.2:9001");
    const call = router.calls.find(({ action }) => action === "AddPortMapping");
    expect(Object.entries(call?.args ?? {})).toEqual([
      ["NewRemoteHost", ""],
      ["NewExternalPort", "9001"],
      ["NewProtocol", "UDP"],
      ["NewInternalPort", "9001"],
      ["NewInternalClient", "192.168.1.10"],
      ["NewEnabled", "1"],
      ["NewPortMappingDescription", "netmesh"],
      ["NewLeaseDuration", "3600"],
    ]);
  });

  it("names itself as the operator wants, escaped", async () => {
    const { install, router } = setup({ description: `<a> & "b"` });
    await install();
    expect(router.requests.some(({ body }) => body.includes("&lt;a&gt; &amp; &quot;b&quot;"))).toBe(true);
    expect(() => setup({ description: "x".repeat(65) })).toThrow("description too long");
  });

  it("keeps its external port when it is renewed, and sees a new address", async () => {
    const { install, renew, router } = setup();
    router.table.set(9001, { client: "192.168.1.66", internalPort: 9001, lease: 0 });
    const mapping = await install();
    expect(mapping.external.port).toBe(9002);
    router.external = "44.128.1.77";
    expect((await renew(mapping)).external.key).toBe("44.128.1.77:9002");
    expect([...router.table.keys()]).toEqual([9001, 9002]);
  });

  it("that has to change its port at a renewal leaves no entry behind", async () => {
    const { install, renew, router } = setup();
    const mapping = await install();
    router.fault = ({ action, args }) =>
      action === "AddPortMapping" && args["NewExternalPort"] === "9001" ? 718 : undefined;
    router.hasAddAny = false;
    const next = await renew(mapping);
    expect(next.external.port).toBeGreaterThanOrEqual(49_152);
    expect([...router.table.keys()]).toEqual([next.external.port]);
  });

  it("is deleted under its external port", async () => {
    const { install, remove, router } = setup();
    await remove(await install());
    expect(router.table.size).toBe(0);
  });

  it("is deleted although the router has failed meanwhile", async () => {
    const { install, renew, remove, router, mapper } = setup();
    const mapping = await install();
    router.override = () => ({ status: 500, body: new Uint8Array() });
    router.answerAfterMs = undefined;
    await expect(renew(mapping)).rejects.toMatchObject({ kind: "transport" });
    expect(mapper.hasRouter).toBe(false);
    router.override = () => undefined;
    await remove(mapping);
    expect(router.table.size).toBe(0);
  });

  it("is removed in two seconds, or not at all", async () => {
    const { install, mapper, router, timers } = setup();
    const mapping = await install();
    router.override = () => "silence";
    const call = mapper.remove(mapping);
    await timers.advance(2_000);
    await expect(call).resolves.toBeUndefined();
    expect(router.requests.at(-1)?.signal.aborted).toBe(true);
  });

  it("that never was is not removed", async () => {
    const { remove, router } = setup();
    await remove();
    expect(router.requests).toEqual([]);
  });

  it("finds the router again after it restarted elsewhere", async () => {
    const { install, renew, router } = setup();
    const mapping = await install();
    router.override = ({ port }) => (port === 5000 ? { status: 404, body: new Uint8Array() } : undefined);
    router.location = "http://192.168.1.1:6000/root.xml";
    await expect(renew(mapping)).rejects.toMatchObject({ kind: "transport" });
    router.table.clear();
    expect((await renew(mapping)).external.port).toBe(9001);
    expect(router.table.size).toBe(1);
  });

  it("for no time or no port is refused before anything is sent", async () => {
    const { install, router } = setup();
    await expect(install(0)).rejects.toMatchObject({ kind: "transport" });
    await expect(install(9001, 0)).rejects.toMatchObject({ kind: "transport" });
    expect([router.searches, router.requests]).toEqual([[], []]);
  });

  it("that may exist when the install is aborted is taken back", async () => {
    const { probe, mapper, router, timers } = setup();
    await probe();
    let isSilent = true;
    router.override = ({ headers }) =>
      isSilent && headers["SOAPAction"]?.endsWith('#AddPortMapping"') ? "silence" : undefined;
    const controller = new AbortController();
    const call = mapper.install(9001, hour, { signal: controller.signal });
    call.catch(() => {});
    await timers.advance(100);
    isSilent = false;
    router.table.set(9001, { client: "192.168.1.10", internalPort: 9001, lease: 3600 });
    controller.abort(new Error("shutdown"));
    await timers.advance(100);
    await expect(call).rejects.toThrow("shutdown");
    expect(router.table.size).toBe(0);
  });
});

describe("a port that somebody else has", () => {
  const taken = { client: "192.168.1.66", internalPort: 1, lease: 0 };

  it("is replaced by one that the router chooses, where it can", async () => {
    const { install, router, counters } = setup();
    router.table.set(9001, taken);
    expect((await install()).external.port).toBe(9002);
    expect(counters.conflicts).toBe(1);
  });

  it("is replaced by a dynamic port where it cannot", async () => {
    const { install, router } = setup();
    router.hasAddAny = false;
    router.table.set(9001, taken);
    expect((await install()).external.port).toBeGreaterThanOrEqual(49_152);
  });

  it("is given up after four other ports", async () => {
    const { install, router, counters } = setup();
    router.hasAddAny = false;
    router.fault = ({ action }) => (action === "AddPortMapping" ? 718 : undefined);
    await expect(install()).rejects.toMatchObject({ kind: "refused", detail: "external-port-in-use" });
    expect(counters.conflicts).toBe(5);
  });

  it("is recognised when the router claims to have mapped it", async () => {
    const { install, router } = setup();
    router.override = ({ headers, body }) => {
      const lies =
        headers["SOAPAction"]?.endsWith('#AddPortMapping"') && body.includes(">9001</NewExternalPort>");
      if (!lies) return undefined;
      router.table.set(9001, taken);
      return undefined;
    };
    router.fault = ({ action, args }) => {
      if (action === "GetSpecificPortMappingEntry" && args["NewExternalPort"] === "9001")
        router.table.set(9001, taken);
      return undefined;
    };
    expect((await install()).external.port).not.toBe(9001);
  });

  it("of another mechanism counts as taken", async () => {
    const { install, router } = setup();
    router.fault = ({ action }) => (action === "AddPortMapping" ? 729 : undefined);
    expect((await install()).external.port).toBe(9001);
    expect(router.calls.some(({ action }) => action === "AddAnyPortMapping")).toBe(true);
  });

  it("does not count as taken when the router cannot tell", async () => {
    const { install, router } = setup();
    router.fault = ({ action }) => (action === "GetSpecificPortMappingEntry" ? 401 : undefined);
    expect((await install()).external.port).toBe(9001);
  });
});

describe("routers with wishes of their own", () => {
  it.each([725, 402, 501])("that take only permanent leases (error %i) get one", async (code) => {
    const { install, renew, remove, router, mapper } = setup();
    router.fault = ({ action, args }) =>
      action === "AddPortMapping" && args["NewLeaseDuration"] !== "0" ? code : undefined;
    const mapping = await install();
    expect(mapping.ttlMs).toBe(hour);
    expect([mapper.isPermanent, router.table.get(9001)?.lease]).toEqual([true, 0]);
    const before = router.calls.length;
    await renew(mapping);
    expect(router.calls.slice(before).filter(({ action }) => action === "AddPortMapping")).toHaveLength(1);
    await remove(mapping);
    expect(router.table.size).toBe(0);
  });

  it("that want the same port on both sides get it at a renewal", async () => {
    const { renew, router } = setup();
    router.fault = ({ action, args }) =>
      action === "AddPortMapping" && args["NewExternalPort"] !== args["NewInternalPort"] ? 724 : undefined;
    const next = await renew(mappingOf("44.128.1.2:50000", { protocol: "upnp" }));
    expect(next.external.port).toBe(9001);
  });

  it.each([
    [606, "refused", "action-not-authorized"],
    [728, "refused", "no-ports-available"],
    [716, "refused", "wildcard-not-permitted"],
    [726, "refused", "remote-host-wildcard-only"],
    [605, "transport", "description too long"],
    [401, "unavailable", "error 401"],
    [999, "transport", "error 999"],
  ])("that answer with error %i are understood", async (code, kind, detail) => {
    const { install, router } = setup();
    router.fault = ({ action }) => (action === "AddPortMapping" ? code : undefined);
    await expect(install()).rejects.toMatchObject({ kind, detail, routerCode: code });
  });

  it("that answer with something else are not understood", async () => {
    const { install, router, counters } = setup();
    router.override = ({ method }) => (method === "POST" ? { body: bytes("<html/>") } : undefined);
    await expect(install()).rejects.toMatchObject({ kind: "transport" });
    expect(counters.malformedDocuments).toBe(1);
  });

  it("that cannot describe their actions are asked for ports one by one", async () => {
    const { install, router } = setup();
    router.table.set(9001, { client: "192.168.1.66", internalPort: 1, lease: 0 });
    router.override = ({ path }) => (path === "/scpd.xml" ? { body: bytes("?") } : undefined);
    expect((await install()).external.port).toBeGreaterThanOrEqual(49_152);
  });
});

describe("an external address that nobody outside can reach", () => {
  it.each(["192.168.100.2", "0.0.0.0", "", "router"])(
    "'%s' makes the router one of no use",
    async (external) => {
      const { probe, router, counters } = setup();
      router.external = external;
      await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
      expect(counters.refusedExternals).toBe(1);
    },
  );

  it("leads to the next router", async () => {
    const { mapper, router, timers } = setup();
    router.external = "10.0.0.2";
    const call = mapper.probe();
    await timers.advance(100);
    router.external = "44.128.1.2";
    router.answerSearch("http://192.168.1.2/root.xml", "192.168.1.2");
    await timers.advance(3_000);
    await call;
    expect(router.requests.at(-1)?.host).toBe("192.168.1.2");
  });

  it("is taken when a laboratory says so", async () => {
    const { install, router } = setup({ allowPrivateExternal: true });
    router.external = "10.0.0.2";
    expect((await install()).external.key).toBe("10.0.0.2:9001");
  });
});

describe("our own address towards the router", () => {
  it.each(["127.0.0.1", "0.0.0.0", ""])("'%s' is of no use to it", async (localHost) => {
    const { probe, router } = setup();
    router.override = () => ({ localHost });
    await expect(probe()).rejects.toBeInstanceOf(PortMappingError);
  });
});
