import { StaticKeyPair } from "@netmesh/crypto";
import { describe, expect, it } from "vitest";
import {
  type ByteStream,
  DaemonRuntime,
  forkRecord,
  type HostedMember,
  MemberHost,
  MemberLinks,
  type MemberPlan,
} from "../src/index.ts";
import {
  bytes,
  CounterDaemon,
  codeOf,
  EchoDaemon,
  fromU64,
  identity,
  input,
  u64,
} from "./support/daemons.ts";
import { streamPair } from "./support/migration-net.ts";
import { settle, VirtualTime } from "./support/virtual-time.ts";

const OWNER = 1n;
const HOST = 2n;
const ID = identity(1);
const ORIGIN = ID.originHash;
const MEMBER = { originHash: ORIGIN, nodeId: HOST };
const event = (n: number) => input(9n, BigInt(n), `e${n}`);
const plan = (fields: Partial<MemberPlan> = {}): MemberPlan => ({
  kind: "counter",
  identity: ID,
  config: {},
  ...fields,
});

interface Bench {
  readonly time: VirtualTime;
  readonly runtime: DaemonRuntime;
  readonly host: MemberHost;
  readonly links: MemberLinks;
  readonly lost: bigint[];
  readonly asked: HostedMember[];
  /** Both ends of each stream, the host's second. */
  readonly streams: [ByteStream, ByteStream][];
  /** Whether streams can be opened. */
  isUp: boolean;
}

async function bench(accepts: (member: HostedMember) => boolean = () => true): Promise<Bench> {
  const time = new VirtualTime();
  const staticKey = StaticKeyPair.generate();
  const runtime = new DaemonRuntime({ time });
  runtime.registerFactory("counter", () => new CounterDaemon());
  runtime.registerFactory("echo", () => new EchoDaemon());
  await runtime.start();
  const asked: HostedMember[] = [];
  const host = new MemberHost({
    members: runtime.members,
    accepts: (member) => {
      asked.push(member);
      return accepts(member);
    },
    staticKey,
    time,
  });
  const lost: bigint[] = [];
  const streams: [ByteStream, ByteStream][] = [];
  const links = new MemberLinks({
    network: {
      staticKeyOf: (node) => (node === HOST ? staticKey.publicKey : undefined),
      openMemberStream: async () => {
        if (!self.isUp) throw new Error("no session");
        const pair = streamPair();
        streams.push(pair);
        void host.accept(pair[1], OWNER);
        return pair[0];
      },
    },
    onLost: (node) => lost.push(node),
    time,
  });
  const self: Bench = { time, runtime, host, links, lost, asked, streams, isUp: true };
  return self;
}

describe("a member on another node", () => {
  it("lives there with its key, and answers from there", async () => {
    const { runtime, links, host, asked } = await bench();
    await links.place(plan({ config: { maxPending: 5 } }), HOST);
    expect(asked).toEqual([{ kind: "counter", originHash: ORIGIN, entityId: ID.entityId, from: OWNER }]);
    expect([links.isLive(MEMBER), runtime.isMember(ORIGIN), host.size]).toEqual([true, true, 1]);
    const outputs = await Promise.all([1, 2, 3].map((n) => links.deliver(MEMBER, event(n))));
    expect(outputs.map(([output]) => fromU64(output?.payload as Uint8Array))).toEqual([1n, 2n, 3n]);
    expect(outputs[2]?.[0]?.link).toMatchObject({ originHash: ORIGIN, sequence: 3n });
    await links.replay(MEMBER, event(4));
    expect(runtime.stats(ORIGIN).eventsProcessed).toBe(4);
    await links.remove(MEMBER);
    expect([links.isLive(MEMBER), runtime.daemonCount, host.size]).toEqual([false, 0, 0]);
  });

  it("gives and takes states, those of another's chain too", async () => {
    const { links } = await bench();
    const other = identity(2);
    const second = { originHash: other.originHash, nodeId: HOST };
    await links.place(plan(), HOST);
    await links.place(plan({ identity: other }), HOST);
    await links.deliver(MEMBER, event(1));
    const snapshot = await links.snapshot(MEMBER);
    expect(snapshot).toMatchObject({ entityId: ID.entityId, throughSeq: 1n, state: u64(1n) });
    if (snapshot === undefined) return;
    await links.restore(second, snapshot);
    const again = await links.snapshot(second);
    expect(again?.chainLink.originHash).toBe(ORIGIN);
    expect(again?.headHash).toBe(snapshot.headHash);
    const [output] = await links.deliver(second, event(2));
    expect([fromU64(output?.payload as Uint8Array), output?.link.sequence]).toEqual([2n, 2n]);
  });

  it("without a state gives none", async () => {
    const { links } = await bench();
    await links.place(plan({ kind: "echo" }), HOST);
    expect(await links.snapshot(MEMBER)).toBeUndefined();
  });

  it("may branch off another chain, with a state", async () => {
    const { links } = await bench();
    const fork = forkRecord(0xaaaan, ORIGIN, 7n);
    await links.place(plan({ fork, state: u64(41n) }), HOST);
    const [output] = await links.deliver(MEMBER, event(1));
    expect([fromU64(output?.payload as Uint8Array), output?.link.sequence]).toEqual([42n, 1n]);
  });

  it("fails as it would here", async () => {
    const { links, runtime } = await bench();
    expect(await codeOf(() => links.place(plan({ kind: "rare" }), HOST))).toBe("factory-not-found");
    expect(await codeOf(() => links.deliver(MEMBER, event(1)))).toBe("invalid-argument");
    await links.place(plan(), HOST);
    await expect(
      links.restore(MEMBER, { ...(await links.snapshot(MEMBER)), state: bytes("x") } as never),
    ).rejects.toMatchObject({ code: "core", reason: "restore-failed" });
    await runtime.stop(ORIGIN);
    await expect(links.deliver(MEMBER, event(1))).rejects.toMatchObject({
      code: "core",
      reason: "not-found",
    });
    expect(links.isLive(MEMBER)).toBe(false);
  });
});

describe("a node that is asked to host a member", () => {
  it.each<[string, () => boolean]>([
    ["says no", () => false],
    ["throws", () => raise("unsure")],
  ])("and %s has nothing of it", async (_, accepts) => {
    const { links, runtime, host } = await bench(accepts);
    expect(await codeOf(() => links.place(plan(), HOST))).toBe("invalid-argument");
    expect([runtime.daemonCount, runtime.factoryCount, host.size]).toEqual([0, 0, 0]);
  });

  it("leaves alone what lives there already, and who asked gets no say about it", async () => {
    const { links, runtime, host } = await bench();
    await runtime.spawn("counter", { identity: ID });
    expect(await codeOf(() => links.place(plan(), HOST))).toBe("core");
    await links.remove(MEMBER);
    expect(await codeOf(() => links.deliver(MEMBER, event(1)))).toBe("invalid-argument");
    expect([runtime.daemonCount, host.size]).toEqual([1, 0]);
  });

  it("takes no more than 256 of one node", async () => {
    const { links, host } = await bench();
    for (let seed = 1; seed <= 256; seed++)
      await links.place(plan({ kind: "echo", identity: identity(seed) }), HOST);
    expect(await codeOf(() => links.place(plan({ identity: identity(257) }), HOST))).toBe("backpressure");
    expect(host.size).toBe(256);
  });

  it.each([
    ["nothing", []],
    ["bytes that are no frames", [Uint8Array.of(200, 0, 0, 0, 9)]],
    ["a frame of four gigabytes", [Uint8Array.of(255, 255, 255, 255, 2)]],
    ["a frame too short for its head", [Uint8Array.of(1, 0, 0, 0, 1)]],
    ["a frame of an unknown type", [Uint8Array.of(5, 0, 0, 0, 77, 0, 0, 0, 0)]],
    ["a frame that ends early", [Uint8Array.of(9, 0, 0, 0, 2, 0)]],
  ])("and is sent %s ends the stream with nothing left", async (_, written) => {
    const { host, runtime } = await bench();
    const [near, far] = streamPair();
    for (const part of written) await near.write(part);
    await near.close();
    await host.accept(far, OWNER);
    expect([host.size, runtime.daemonCount, runtime.factoryCount]).toEqual([0, 0, 0]);
  });

  it.each([2, 3, 4, 5, 6, 7, 0x80])(
    "answers a request of type %s that cannot be read, and goes on",
    async (type) => {
      const { host, runtime } = await bench();
      const [near, far] = streamPair();
      const accepting = host.accept(far, OWNER);
      // Cut in two, to be put together again.
      for (const part of [Uint8Array.of(6, 0, 0), Uint8Array.of(0, type, 9, 0, 0, 0, 1)])
        await near.write(part);
      const answer = await first(near);
      expect([answer[4], answer[5]]).toEqual([0x81, 9]);
      await near.close();
      await accepting;
      expect([host.size, runtime.daemonCount]).toEqual([0, 0]);
    },
  );

  it("refuses an envelope that is for another node", async () => {
    const { runtime, host } = await bench();
    const foreign = new MemberLinks({
      network: {
        staticKeyOf: () => StaticKeyPair.generate().publicKey,
        openMemberStream: async () => {
          const [near, far] = streamPair();
          void host.accept(far, OWNER);
          return near;
        },
      },
    });
    expect(await codeOf(() => foreign.place(plan(), HOST))).toBe("registry-failed");
    expect([runtime.daemonCount, runtime.factoryCount, host.size]).toEqual([0, 0, 0]);
    foreign.close();
  });
});

describe("a node of members that is lost", () => {
  it("is told of, what waits fails, and its members are not live", async () => {
    const at = await bench();
    await at.links.place(plan(), HOST);
    const waiting = codeOf(() => at.links.snapshot(MEMBER));
    for (const ends of at.streams) for (const end of ends) end.abort();
    expect(await waiting).toBe("registry-failed");
    expect([at.lost, at.links.isLive(MEMBER), at.links.isReached(HOST)]).toEqual([[HOST], false, false]);
    expect(await codeOf(() => at.links.deliver(MEMBER, event(1)))).toBe("registry-failed");
    await at.links.remove(MEMBER);
  });

  it("still has them when it is back in time, but for those that are not wanted any more", async () => {
    const at = await bench();
    const other = identity(2);
    await at.links.place(plan(), HOST);
    await at.links.place(plan({ identity: other }), HOST);
    for (const ends of at.streams) for (const end of ends) end.abort();
    await settle();
    await at.links.remove({ originHash: other.originHash, nodeId: HOST });
    await at.time.advance(29_000);
    expect(await at.links.probe(HOST)).toBe(true);
    await settle();
    expect([at.links.isLive(MEMBER), at.runtime.daemonCount]).toEqual([true, 1]);
    await at.time.advance(60_000);
    expect(at.runtime.daemonCount).toBe(1);
  });

  it("ends them when their group does not come back", async () => {
    const at = await bench();
    await at.links.place(plan(), HOST);
    for (const ends of at.streams) for (const end of ends) end.abort();
    await settle();
    await at.time.advance(30_000);
    await settle();
    expect([at.runtime.daemonCount, at.host.size]).toEqual([0, 0]);
    expect(await at.links.probe(HOST)).toBe(true);
    expect(at.links.isLive(MEMBER)).toBe(false);
  });

  it("or says nothing, is no node for members", async () => {
    const at = await bench();
    expect(await at.links.probe(77n)).toBe(false);
    at.isUp = false;
    expect(await at.links.probe(HOST)).toBe(false);
    expect(await codeOf(() => at.links.place(plan(), HOST))).toBe("registry-failed");
    const silent = new MemberLinks({
      network: {
        staticKeyOf: () => StaticKeyPair.generate().publicKey,
        openMemberStream: async () => streamPair()[0],
      },
      time: at.time,
    });
    const probing = silent.probe(HOST);
    await settle();
    await at.time.advance(5000);
    expect(await probing).toBe(false);
    expect(at.time.pending).toBe(0);
  });

  it("that answers nonsense is not believed", async () => {
    const time = new VirtualTime();
    const links = new MemberLinks({
      network: {
        staticKeyOf: () => StaticKeyPair.generate().publicKey,
        openMemberStream: async () => {
          const [near, far] = streamPair();
          void nonsense(far);
          return near;
        },
      },
      time,
    });
    await links.place(plan(), HOST);
    expect(await codeOf(() => links.deliver(MEMBER, event(1)))).toBe("registry-failed");
    expect(await codeOf(() => links.snapshot(MEMBER))).toBe("registry-failed");
    links.close();
    expect(time.pending).toBe(0);
  });
});

/** Answers hello and place as it should, and everything else with a byte. */
async function nonsense(stream: ByteStream): Promise<void> {
  try {
    for await (const frame of stream.readable) {
      const payload = (frame[4] as number) <= 2 ? [] : [7];
      const answer = Uint8Array.of(5 + payload.length, 0, 0, 0, 0x80, 0, 0, 0, 0, ...payload);
      answer.set(frame.subarray(5, 9), 5);
      await stream.write(answer);
    }
  } catch {
    // The stream was ended.
  }
}

async function first(stream: ByteStream): Promise<Uint8Array> {
  for await (const part of stream.readable) return part;
  throw new Error("the stream has ended");
}

function raise(text: string): never {
  throw new Error(text);
}
