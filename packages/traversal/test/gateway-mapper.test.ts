import { describe, expect, it } from "vitest";
import {
  GatewayMapper,
  type GatewayMapperOptions,
  type GatewayNotice,
  portMappingCounters,
} from "../src/index.ts";
import { bytesOf, FakeGateway, natPmpAnswers, pcpAnswers } from "./fake-gateway.ts";
import { mappingOf } from "./mappings.ts";
import { seededRandom } from "./scripted-random.ts";
import { outcome, VirtualTimers } from "./virtual-timers.ts";

const hour = 3_600_000;

function setup(options: Partial<GatewayMapperOptions> = {}) {
  const timers = new VirtualTimers();
  const gateway = new FakeGateway(timers);
  const counters = portMappingCounters();
  const mapper = new GatewayMapper({
    gateway: gateway.address,
    channels: gateway,
    notices: gateway,
    timers,
    counters,
    random: seededRandom(7),
    ...options,
  });
  return {
    timers,
    gateway,
    counters,
    mapper,
    probe: () => outcome(timers, mapper.probe()),
    install: (port = 9001, ttlMs = hour) => outcome(timers, mapper.install(port, ttlMs)),
    renew: (mapping = mappingOf()) => outcome(timers, mapper.renew(mapping)),
    remove: (mapping = mappingOf()) => outcome(timers, mapper.remove(mapping)),
  };
}

/** NAT-PMP after a successful probe. */
async function natPmp(settings: Parameters<typeof natPmpAnswers>[0] = {}) {
  const all = setup();
  all.gateway.behaviour = natPmpAnswers(settings);
  await all.probe();
  all.gateway.sent.length = 0;
  return all;
}

/** PCP after a successful probe. */
async function pcp(settings: Parameters<typeof pcpAnswers>[0] = {}) {
  const all = setup();
  all.gateway.behaviour = pcpAnswers(settings);
  await all.probe();
  all.gateway.sent.length = 0;
  return all;
}

describe("asking a gateway what it speaks", () => {
  it("finds PCP with one datagram", async () => {
    const { probe, gateway, mapper } = setup();
    gateway.behaviour = pcpAnswers();
    await probe();
    expect(mapper.variant).toBe("pcp");
    expect(gateway.sent.map(({ hex }) => hex)).toEqual(["020000000000000000000000000000000000ffffc0a8010a"]);
    expect(gateway.openSockets).toBe(0);
  });

  it("finds NAT-PMP as soon as PCP is refused", async () => {
    const { timers, gateway, mapper } = setup();
    gateway.behaviour = natPmpAnswers();
    const call = mapper.probe();
    await timers.advance(10);
    await call;
    expect(mapper.variant).toBe("nat-pmp");
    expect(mapper.externalHost).toBe("44.128.1.2");
  });

  it("finds NAT-PMP after a quarter of a second where PCP is ignored", async () => {
    const { timers, gateway, mapper } = setup();
    const answers = natPmpAnswers();
    gateway.behaviour = (request, reply) => request[0] === 0 && answers(request, reply);
    const call = mapper.probe();
    await timers.advance(260);
    await call;
    expect(mapper.variant).toBe("nat-pmp");
  });

  it("asks three times, then gives up after one second", async () => {
    const { timers, mapper, gateway, counters, probe } = setup();
    await expect(probe()).rejects.toMatchObject({ kind: "timeout", message: "timeout" });
    expect(gateway.sent.map(({ atMs, hex }) => [atMs, hex.length / 2])).toEqual([
      [0, 24],
      [250, 2],
      [750, 24],
      [750, 2],
    ]);
    expect([mapper.variant, mapper.externalHost]).toEqual([undefined, undefined]);
    expect(counters).toMatchObject({ timeouts: 1, retransmissions: 3 });
    expect([gateway.openSockets, timers.pending]).toEqual([0, 0]);
  });

  it("fails at once where the port is closed", async () => {
    const { mapper, gateway, timers } = setup();
    gateway.behaviour = () => gateway.refuse();
    const call = mapper.probe();
    call.catch(() => {});
    await timers.advance(1);
    await expect(call).rejects.toMatchObject({ kind: "transport", detail: "ECONNREFUSED" });
    expect(gateway.openSockets).toBe(0);
  });

  it("is told which of the two refused, when both do", async () => {
    const { probe, gateway } = setup();
    const [old, young] = [natPmpAnswers({ result: 2 }), pcpAnswers({ announceResult: 2 })];
    gateway.behaviour = (request, reply) => (request[0] === 0 ? old : young)(request, reply);
    await expect(probe()).rejects.toMatchObject({ kind: "refused", message: "refused: not-authorized" });
  });

  it("takes a gateway without an address of its own for none", async () => {
    const { probe, gateway } = setup();
    gateway.behaviour = natPmpAnswers({ result: 3 });
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable", detail: "unsupp-version" });
  });

  it.each([
    ["nat-pmp", 2],
    ["pcp", 24],
  ] as const)("that may only speak %s asks for nothing else", async (variant, bytes) => {
    const { probe, gateway, mapper } = setup({ variants: [variant] });
    await expect(probe()).rejects.toMatchObject({ kind: "timeout" });
    expect(gateway.sent.map(({ hex }) => hex.length / 2)).toEqual([bytes, bytes, bytes]);
    gateway.behaviour = variant === "pcp" ? pcpAnswers() : natPmpAnswers();
    await probe();
    expect(mapper.variant).toBe(variant);
  });

  it("that may only speak PCP has no other way when that is refused", async () => {
    const { probe, install, gateway } = setup({ variants: ["pcp"] });
    gateway.behaviour = natPmpAnswers();
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable", routerCode: 1 });
    gateway.behaviour = pcpAnswers({ result: 4 });
    await probe();
    await expect(install()).rejects.toMatchObject({ kind: "unavailable", routerCode: 4 });
  });

  it("ends with the signal, and with it the socket", async () => {
    const { mapper, gateway, timers } = setup();
    const controller = new AbortController();
    const call = mapper.probe({ signal: controller.signal });
    call.catch(() => {});
    await timers.advance(100);
    controller.abort(new Error("enough"));
    await timers.advance(0);
    await expect(call).rejects.toThrow("enough");
    expect([gateway.openSockets, timers.pending]).toEqual([0, 0]);
  });

  it("does not begin under a signal that has ended", async () => {
    const { mapper, gateway } = setup();
    await expect(mapper.probe({ signal: AbortSignal.abort(new Error("over")) })).rejects.toThrow("over");
    expect(gateway.sent).toEqual([]);
  });
});

describe("answers that are not the gateway's to this question", () => {
  it("from another port of the gateway are ignored and counted", async () => {
    const { probe, gateway, counters, mapper } = setup();
    const forged = natPmpAnswers({ external: "44.128.66.66" });
    gateway.behaviour = (request, reply) => forged(request, (bytes) => reply(bytes, gateway.address, 5352));
    await expect(probe()).rejects.toMatchObject({ kind: "timeout" });
    expect(counters.foreignAnswers).toBe(4);
    expect(mapper.externalHost).toBeUndefined();
  });

  it("from another host are ignored, and the gateway's still counts", async () => {
    const { gateway, counters, install } = await natPmp();
    const [forged, real] = [natPmpAnswers({ port: () => 6666 }), natPmpAnswers()];
    gateway.behaviour = (request, reply) => {
      forged(request, (bytes) => reply(bytes, "192.168.1.66"));
      real(request, reply);
    };
    expect((await install()).external.key).toBe("44.128.1.2:9001");
    expect(counters.foreignAnswers).toBe(1);
  });

  it("about another port are ignored", async () => {
    const { gateway, counters, install } = await natPmp();
    gateway.behaviour = (_, reply) => reply("0081 0000 000004d2 2328 b26e 00000e10");
    await expect(install()).rejects.toMatchObject({ kind: "timeout" });
    expect(counters.unmatchedAnswers).toBe(3);
  });

  it("that cannot be read are ignored", async () => {
    const { gateway, counters, install } = await natPmp();
    gateway.behaviour = (_, reply) => reply("ff81000000");
    await expect(install()).rejects.toMatchObject({ kind: "timeout" });
    expect(counters.malformedAnswers).toBe(3);
  });

  it.each([
    ["nonce", (answer: Uint8Array) => (answer[24] = (answer[24] as number) ^ 1)],
    ["protocol", (answer: Uint8Array) => (answer[36] = 6)],
    ["internal port", (answer: Uint8Array) => (answer[41] = 0)],
    ["operation", (answer: Uint8Array) => (answer[1] = 0x82)],
  ])("with another %s are ignored", async (_, edit) => {
    const { install, counters } = await pcp({ edit });
    await expect(install()).rejects.toMatchObject({ kind: "timeout" });
    expect(counters.unmatchedAnswers).toBe(3);
  });
});

describe("a mapping by NAT-PMP", () => {
  it("is the gateway's address with the port it gave", async () => {
    const { install, gateway } = await natPmp({ port: () => 54_321, lifetime: 1200 });
    const mapping = await install();
    expect(mapping).toMatchObject({ internalPort: 9001, ttlMs: 1_200_000, protocol: "nat-pmp" });
    expect(mapping.external.key).toBe("44.128.1.2:54321");
    expect(gateway.sent).toEqual([{ atMs: expect.any(Number), hex: "000100002329232900000e10" }]);
  });

  it("is asked for again at 250 and 750 ms when nothing comes", async () => {
    const { gateway, timers, mapper } = await natPmp();
    gateway.behaviour = () => {};
    const startMs = timers.now();
    await expect(outcome(timers, mapper.install(9001, hour))).rejects.toMatchObject({ kind: "timeout" });
    const maps = gateway.sent.filter(({ hex }) => !hex.endsWith("00000000"));
    expect(maps.map(({ atMs }) => atMs - startMs)).toEqual([0, 250, 750]);
  });

  it("that may exist although no answer came is taken back", async () => {
    const { gateway, install } = await natPmp();
    gateway.behaviour = () => {};
    await expect(install()).rejects.toMatchObject({ kind: "timeout" });
    expect(gateway.sent.at(-1)?.hex).toBe("000100002329000000000000");
  });

  it("is extended under its port, for the full hour, with the address read again", async () => {
    const { gateway, renew } = await natPmp();
    gateway.behaviour = natPmpAnswers({ external: "44.128.1.77" });
    const next = await renew(mappingOf("44.128.1.2:54321", { ttlMs: 60_000 }));
    expect(next.external.key).toBe("44.128.1.77:54321");
    expect(gateway.sent.map(({ hex }) => hex)).toEqual(["0000", "000100002329d43100000e10"]);
  });

  it("that is not renewed in time is not taken back", async () => {
    const { gateway, renew } = await natPmp();
    gateway.behaviour = () => {};
    await expect(renew()).rejects.toMatchObject({ kind: "timeout" });
    expect(gateway.sent.some(({ hex }) => hex.endsWith("00000000"))).toBe(false);
  });

  it("is deleted with lifetime and port zero, for 200 ms at most", async () => {
    const { gateway, mapper, timers } = await natPmp();
    gateway.behaviour = () => {};
    const call = mapper.remove(mappingOf());
    await timers.advance(200);
    await call;
    expect(gateway.sent.map(({ hex }) => hex)).toEqual(["000100002329000000000000"]);
    expect(gateway.openSockets).toBe(0);
  });

  it("of port zero is never deleted: that would be all of this host", async () => {
    const { gateway, remove } = await natPmp();
    await remove(mappingOf(undefined, { internalPort: 0 }));
    expect(gateway.sent).toEqual([]);
  });

  it.each([
    [2, "refused", "not-authorized"],
    [4, "refused", "out-of-resources"],
    [3, "unavailable", "network-failure"],
    [99, "refused", "unknown"],
  ])("fails with result %i as %s", async (result, kind, detail) => {
    const { gateway, install } = await natPmp();
    gateway.behaviour = natPmpAnswers({ result });
    await expect(install()).rejects.toMatchObject({ kind, detail, routerCode: result });
  });

  it("fails with a short error as well", async () => {
    const { gateway, install } = await natPmp();
    gateway.behaviour = (_, reply) => reply("0081000500000007");
    await expect(install()).rejects.toMatchObject({ detail: "unsupported-opcode" });
  });

  it("without a probe is refused before anything is sent", async () => {
    const { gateway, install, mapper } = setup();
    await expect(install()).rejects.toMatchObject({
      kind: "transport",
      message: expect.stringContaining("install called before successful probe"),
    });
    expect([gateway.sent, mapper.externalHost]).toEqual([[], undefined]);
  });

  it("for no time is refused before anything is sent: it would delete", async () => {
    const { gateway, install } = await natPmp();
    await expect(install(9001, 0)).rejects.toMatchObject({
      kind: "transport",
      message: expect.stringContaining("ttl=0"),
    });
    await expect(install(0)).rejects.toMatchObject({ kind: "transport" });
    expect(gateway.sent).toEqual([]);
  });

  it("for less than a second is asked for as one second", async () => {
    const { gateway, install } = await natPmp();
    await install(9001, 10);
    expect(gateway.sent[0]?.hex).toBe("000100002329232900000001");
  });

  it.each([
    ["a lease of zero seconds", { lifetime: 0 }, "transport"],
    ["port zero", { port: () => 0 }, "unavailable"],
  ])("with %s is taken back", async (_, settings, kind) => {
    const { gateway, install } = await natPmp();
    gateway.behaviour = natPmpAnswers(settings);
    await expect(install()).rejects.toMatchObject({ kind });
    expect(gateway.sent.at(-1)?.hex).toBe("000100002329000000000000");
  });
});

describe("an external address that nobody outside can reach", () => {
  it.each([
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "169.254.1.1",
    "172.31.0.1",
    "192.168.0.1",
    "240.0.0.1",
  ])("%s is refused and counted", async (external) => {
    const { probe, gateway, counters, mapper } = setup();
    gateway.behaviour = natPmpAnswers({ external });
    await expect(probe()).rejects.toMatchObject({ kind: "unavailable" });
    expect(counters.refusedExternals).toBe(1);
    expect(mapper.externalHost).toBeUndefined();
  });

  it("in an answer of PCP is refused and the mapping deleted", async () => {
    const { gateway, install } = await pcp({ external: "100.64.1.2" });
    await expect(install()).rejects.toMatchObject({ kind: "unavailable" });
    expect(gateway.sent.map(({ hex }) => hex.slice(8, 16))).toEqual(["00000e10", "00000000"]);
  });

  it("is taken when a laboratory says so", async () => {
    const { probe, install, gateway } = setup({ allowPrivateExternal: true });
    gateway.behaviour = natPmpAnswers({ external: "10.1.2.3" });
    await probe();
    expect((await install()).external.key).toBe("10.1.2.3:9001");
  });
});

describe("a mapping by PCP", () => {
  const nonceIn = (hex: string | undefined) => hex?.slice(48, 72);

  it("is what the gateway assigned", async () => {
    const { install, gateway } = await pcp({ port: () => 40_000, lifetime: 120 });
    const mapping = await install();
    expect(mapping).toMatchObject({ internalPort: 9001, ttlMs: 120_000, protocol: "nat-pmp" });
    expect(mapping.external.key).toBe("44.128.1.2:40000");
    expect(gateway.sent).toHaveLength(1);
  });

  it("keeps its nonce through renewal and deletion, and the next one has another", async () => {
    const { install, renew, remove, gateway } = await pcp();
    const mapping = await install();
    await renew(mapping);
    await remove(mapping);
    await install();
    const nonces = gateway.sent.map(({ hex }) => nonceIn(hex));
    expect(new Set(nonces.slice(0, 3)).size).toBe(1);
    expect(nonces[3]).not.toBe(nonces[0]);
  });

  it("is renewed with the port and address it has", async () => {
    const { install, renew, gateway } = await pcp({ port: () => 40_000 });
    await renew(await install());
    expect(gateway.sent[1]?.hex.slice(80)).toBe("23299c4000000000000000000000ffff2c800102");
  });

  it("is deleted with a wish for nothing", async () => {
    const { remove, gateway } = await pcp();
    await remove();
    expect(gateway.sent[0]?.hex.slice(8, 16)).toBe("00000000");
    expect(gateway.sent[0]?.hex.slice(80)).toBe("2329000000000000000000000000ffff00000000");
  });

  it("may come back under another address", async () => {
    const { install, renew, gateway } = await pcp();
    const mapping = await install();
    gateway.behaviour = pcpAnswers({ external: "44.128.1.77" });
    expect((await renew(mapping)).external.key).toBe("44.128.1.77:9001");
  });

  it.each([
    [2, "refused", "not-authorized"],
    [8, "refused", "no-resources"],
    [12, "unavailable", "address-mismatch"],
    [77, "refused", "unknown"],
  ])("fails with result %i as %s", async (result, kind, detail) => {
    const { install } = await pcp({ result });
    await expect(install()).rejects.toMatchObject({ kind, detail, routerCode: result });
  });

  it.each([1, 4])(
    "becomes one by NAT-PMP when the gateway does not map with PCP (result %i)",
    async (result) => {
      const { install, gateway, mapper } = await pcp();
      const [old, young] = [natPmpAnswers(), pcpAnswers({ result })];
      gateway.behaviour = (request, reply) => (request[0] === 0 ? old : young)(request, reply);
      expect((await install()).external.key).toBe("44.128.1.2:9001");
      expect(mapper.variant).toBe("nat-pmp");
    },
  );

  it("becomes one by NAT-PMP when the gateway answers in that", async () => {
    const { install, gateway, mapper } = await pcp();
    gateway.behaviour = natPmpAnswers();
    expect((await install()).external.key).toBe("44.128.1.2:9001");
    expect(mapper.variant).toBe("nat-pmp");
  });

  it("is taken back when the install is aborted", async () => {
    const { mapper, gateway, timers } = await pcp();
    gateway.behaviour = () => {};
    const controller = new AbortController();
    const call = mapper.install(9001, hour, { signal: controller.signal });
    call.catch(() => {});
    await timers.advance(300);
    controller.abort(new Error("shutdown"));
    await timers.advance(0);
    await expect(call).rejects.toThrow("shutdown");
    const last = gateway.sent.at(-1)?.hex;
    expect(last?.slice(8, 16)).toBe("00000000");
    expect(nonceIn(last)).toBe(nonceIn(gateway.sent[0]?.hex));
    expect(gateway.openSockets).toBe(0);
  });
});

describe("what a gateway tells unasked", () => {
  const announce = (epoch: number) =>
    `02800000 00000000 ${epoch.toString(16).padStart(8, "0")} ${"00".repeat(12)}`;
  const address = (epoch: number, host = "2c80014d") =>
    `0080 0000 ${epoch.toString(16).padStart(8, "0")} ${host}`;

  async function watched() {
    const all = await pcp();
    all.gateway.behaviour = pcpAnswers({ epoch: () => 100 + all.timers.now() / 1000 });
    const heard: GatewayNotice[] = [];
    await all.install();
    const stop = all.mapper.watch((notice) => heard.push(notice));
    return { ...all, heard, stop };
  }

  it("a restart is heard once, however often it is repeated", async () => {
    const { gateway, heard, counters } = await watched();
    for (let times = 0; times < 3; times += 1) gateway.multicast(announce(0));
    expect(heard).toEqual(["restarted"]);
    expect(counters).toMatchObject({ gatewayRestarts: 1, repeatedNotices: 2 });
  });

  it("an announcement that tells nothing new is counted only", async () => {
    const { gateway, heard, counters, timers } = await watched();
    await timers.advance(100_000);
    gateway.multicast(announce(220));
    expect(heard).toEqual([]);
    expect(counters.repeatedNotices).toBe(1);
  });

  it("a restart is heard from a gateway that maps by NAT-PMP and announces by PCP", async () => {
    const { gateway, mapper, timers, install } = await natPmp({ epoch: () => 100 });
    await install();
    const heard: GatewayNotice[] = [];
    mapper.watch((notice) => heard.push(notice));
    await timers.advance(1_000);
    gateway.multicast(announce(0));
    expect(heard).toEqual(["restarted"]);
  });

  it("a new address is heard", async () => {
    const { gateway, heard } = await watched();
    gateway.multicast(address(120));
    expect(heard).toEqual(["address-changed"]);
  });

  it("the known address is no news", async () => {
    const { gateway, heard } = await watched();
    gateway.multicast(address(120, "2c800102"));
    expect(heard).toEqual([]);
  });

  it.each([
    ["another host", "192.168.1.66", 5351],
    ["another port", "192.168.1.1", 5350],
  ])("in the name of %s is refused and counted", async (_, host, port) => {
    const { gateway, heard, counters } = await watched();
    gateway.multicast(announce(0), host, port);
    expect(heard).toEqual([]);
    expect(counters.refusedNotices).toBe(1);
  });

  it.each([
    ["nothing", ""],
    ["an answer to MAP", `0281${"00".repeat(58)}`],
    ["an error", `02800002${"00".repeat(20)}`],
    ["a mapping", "0081 0000 000004d2 2329 b26e 00000e10"],
  ])("that is %s is refused and counted", async (_, bytes) => {
    const { gateway, heard, counters } = await watched();
    gateway.multicast(bytes);
    expect(heard).toEqual([]);
    expect(counters.refusedNotices).toBe(1);
  });

  it("is not heard any more when nobody watches", async () => {
    const { gateway, heard, stop } = await watched();
    stop();
    gateway.multicast(announce(0));
    expect(heard).toEqual([]);
  });

  it("is not heard without a place to listen", () => {
    const { mapper } = setup();
    const deaf = new GatewayMapper({
      gateway: "192.168.1.1",
      channels: new FakeGateway(new VirtualTimers()),
      timers: new VirtualTimers(),
      counters: portMappingCounters(),
      random: seededRandom(1),
    });
    expect(() => deaf.watch(() => {})()).not.toThrow();
    expect(mapper.variant).toBeUndefined();
  });

  it("bytes of any kind change nothing and throw nothing", async () => {
    const { gateway, heard } = await watched();
    for (let length = 0; length < 64; length += 1) gateway.multicast(bytesOf("7f".repeat(length)));
    expect(heard).toEqual([]);
  });
});
