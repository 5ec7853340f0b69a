import { bytesToHex, defaultCurve, randomBytes, type X25519KeyPair } from "@netmesh/crypto";
import { LocalCounter, MAX_EPOCH_PACKETS, SealingKey } from "@netmesh/pool";
import {
  CONTROL_STREAM_ID,
  copyBytes,
  encodeRekey,
  HeaderOffset,
  NETMESH_CONTROL,
  PeerFeature,
  RekeyKind,
  type RekeyMessage,
  readU32,
  SocketAddress,
} from "@netmesh/wire";
import { afterEach, describe, expect, it, vi } from "vitest";
import { PREVIOUS_EPOCH_MS } from "../src/rekey/receive-epochs.ts";
import type { RekeyLimits } from "../src/rekey/rekey-limits.ts";
import type { Session } from "../src/session/session.ts";
import { createTestNetwork, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { eavesdropRandom, Recorder } from "./recorder.ts";
import {
  codeOf,
  FIXED,
  numbered,
  numberOf,
  pair,
  RELIABLE,
  Receiving,
  range,
  relayed,
  Sending,
  until,
  withSeeds,
} from "./traffic.ts";

const KEY = new Uint8Array(32).fill(9);
/** A public key with which every shared secret is all zero (RFC 7748 §6.1). */
const SMALL_ORDER = new Uint8Array(32);

afterEach(() => {
  vi.restoreAllMocks();
});

function sessionOf(node: TestNode, of: TestNode): Session {
  const session = node.core.peer(of.nodeId)?.session;
  if (session === undefined) throw new Error("no session");
  return session;
}

function epochs(a: TestNode, b: TestNode): [number, number] {
  return [sessionOf(a, b).keyEpoch, sessionOf(b, a).keyEpoch];
}

/** A packet of that node's session with one message about keys, as its owner could send. */
function sealed(from: TestNode, to: TestNode, message: RekeyMessage): Uint8Array {
  const { builder } = sessionOf(from, to);
  return builder.buildSubprotocol(CONTROL_STREAM_ID, 0n, [encodeRekey(message)], 0, NETMESH_CONTROL);
}

/** Sends such a packet, whatever the engine thinks of it. */
function say(network: TestNetwork, from: TestNode, to: TestNode, message: RekeyMessage): void {
  network.net.inject(sealed(from, to, message), from.transport.localAddress, to.transport.localAddress);
  network.advance(50);
}

/** Asks the initiator for other keys, as a limit of the responder would, and waits for them. */
function renew(network: TestNetwork, initiator: TestNode, responder: TestNode): void {
  const epoch = sessionOf(initiator, responder).keyEpoch + 1;
  until(network, () => {
    if (sessionOf(initiator, responder).rx.hasPrevious) return false;
    say(network, responder, initiator, { kind: RekeyKind.REQUEST, epoch });
    return true;
  });
  until(network, () => epochs(initiator, responder).every((now) => now === epoch));
}

/** Every array of bytes that can be reached from an object by its properties, in hex, as a printer would. */
function bytesWithin(root: object): string[] {
  const seen = new Set<object>([root]);
  for (const object of seen) {
    if (object instanceof Uint8Array) continue;
    const inside: unknown[] =
      object instanceof Map || object instanceof Set ? [...object].flat() : Object.values(object);
    for (const value of inside) if (typeof value === "object" && value !== null) seen.add(value);
  }
  return [...seen].filter((object) => object instanceof Uint8Array).map(bytesToHex);
}

/** Both directions of a reliable stream from now on. */
function transfer(a: TestNode, b: TestNode) {
  return {
    atB: new Receiving(b, a, 7n, RELIABLE),
    atA: new Receiving(a, b, 7n, RELIABLE),
    toB: new Sending(a, b, 7n, RELIABLE),
    toA: new Sending(b, a, 7n, RELIABLE),
  };
}

/** Fails when a node seals two packets with one counter. */
function watchNonces(network: TestNetwork): { readonly highest: () => bigint } {
  const seen = new Set<string>();
  let highest = 0n;
  const recorder = new Recorder(network);
  const record = network.net.tap;
  network.net.tap = (bytes, from, to) => {
    record?.(bytes, from, to);
    for (const { header } of recorder.packets.splice(0)) {
      if (header.sessionId === 0n) continue;
      const nonce = `${from.key} ${header.sessionId} ${header.counter}`;
      if (seen.has(nonce)) throw new Error(`two packets with the nonce ${nonce}`);
      seen.add(nonce);
      if (header.counter > highest) highest = header.counter;
    }
    return true;
  };
  return { highest: () => highest };
}

describe("the keys of a session", () => {
  it("are renewed after so many packets, in whichever direction they went", () => {
    for (const direction of ["initiator", "responder"] as const) {
      const { network, a, b } = pair({
        node: { ...FIXED, rekey: { packets: 50 } },
        conditions: { delayMs: 10 },
      });
      const [from, to] = direction === "initiator" ? [a, b] : [b, a];
      const send = (count: number) => {
        for (let i = 0; i < count; i++) {
          from.call((core) => core.send(to.nodeId, 1n, numbered(1)));
          network.advance(1);
        }
        network.advance(200);
      };
      send(45);
      expect(epochs(a, b)).toEqual([0, 0]);
      send(10);
      expect(epochs(a, b)).toEqual([1, 1]);
      expect([a.core.counters.rekeys, b.core.counters.rekeys]).toEqual([1, 1]);
    }
  });

  it("are renewed after so many bytes", () => {
    const { network, a, b } = pair({ node: { datagramBytes: 8_192, rekey: { bytes: 100_000 } } });
    const send = (count: number) => {
      for (let i = 0; i < count; i++) a.call((core) => core.send(b.nodeId, 1n, numbered(1, 8_000)));
      network.advance(100);
    };
    send(11);
    expect(epochs(a, b)).toEqual([0, 0]);
    send(2);
    expect(epochs(a, b)).toEqual([1, 1]);
  });

  it("are renewed by age while nobody sends anything", () => {
    const { network, a, b } = pair({
      node: { rekey: { intervalMs: 60_000 }, heartbeatMs: 5_000 },
      conditions: { delayMs: 20 },
    });
    network.advance(59_000);
    expect(epochs(a, b)).toEqual([0, 0]);
    for (let minutes = 1; minutes <= 10; minutes++) {
      network.advance(60_000);
      expect(epochs(a, b)).toEqual([minutes, minutes]);
    }
    // Each renewal is a proposal, an acceptance, and a heartbeat of either side; a request may cross the proposal.
    const sent = ({ core: { counters } }: TestNode) => counters.datagramsSent - counters.pingwavesSent;
    expect(sent(a) + sent(b)).toBeLessThan(2 * 160 + 10 * 6);
  });

  it("are renewed at the responder's wish when only its limit is reached", () => {
    const network = createTestNetwork(0, { conditions: { delayMs: 10 } });
    const a = network.add();
    const b = network.add({ rekey: { packets: 20 } });
    a.connect(b);
    network.advance(100);
    for (let i = 0; i < 30; i++) b.call((core) => core.send(a.nodeId, BigInt(i), numbered(1)));
    network.advance(100);
    expect(epochs(a, b)).toEqual([1, 1]);
    expect(b.core.counters.rekeyIgnored + a.core.counters.rekeyIgnored).toBe(0);
  });

  it("are renewed through a relay, which never holds one that opens anything", () => {
    const { network, a, b, relay } = relayed({
      node: { datagramBytes: 8_192, rekey: { packets: 20, intervalMs: 20_000 }, auditRelay: true },
      conditions: { delayMs: 10 },
    });
    const { atB, atA, toB, toA } = transfer(a, b);
    toB.write(...numbered(300, 2_000)).finish();
    toA.write(...numbered(300, 2_000)).finish();
    until(network, () => atA.ends + atB.ends === 2);
    expect(atB.numbers).toEqual(range(300));
    expect(atA.numbers).toEqual(range(300));
    network.advance(100_000);
    const [atInitiator, atResponder] = epochs(a, b);
    expect(atInitiator).toBe(atResponder);
    expect(atInitiator).toBeGreaterThan(4);
    expect(relay.core.counters.relayAudited).toBeGreaterThan(200);
    expect(relay.core.counters.relayOpened).toBe(0);
  });

  it("are not renewed unless both sides offer it", () => {
    for (const features of [PeerFeature.FORWARD_SECRET, 7]) {
      const network = createTestNetwork(0);
      const watch = watchNonces(network);
      const a = network.add({ rekey: { packets: 5, intervalMs: 1_000 } });
      const b = network.add({ features, rekey: { packets: 5, intervalMs: 1_000 } });
      a.connect(b);
      for (let i = 0; i < 100; i++) a.call((core) => core.send(b.nodeId, BigInt(i), numbered(1)));
      network.advance(60_000);
      expect(epochs(a, b)).toEqual([0, 0]);
      expect(a.core.counters.rekeys + b.core.counters.rekeys).toBe(0);
      expect(watch.highest()).toBeLessThan(1_000n);
      expect(sessionOf(a, b).rekeying).toBeUndefined();
      // The id is like any other that nobody knows: it reaches the application.
      say(network, a, b, { kind: RekeyKind.REQUEST, epoch: 1 });
      expect(b.eventsOf("data").at(-1)?.packet.subprotocolId).toBe(NETMESH_CONTROL);
    }
  });

  it("are not renewed faster than the overtaken packets of the last ones may arrive", () => {
    const { network, a, b } = pair({ node: { rekey: { packets: 1 } } });
    for (let i = 0; i < 600; i++) {
      a.call((core) => core.send(b.nodeId, 1n, numbered(1)));
      network.advance(100);
    }
    const [epoch] = epochs(a, b);
    expect(epoch).toBeGreaterThan(15);
    expect(epoch).toBeLessThanOrEqual(1 + 60_000 / PREVIOUS_EPOCH_MS);
  });

  it("are renewed where no heartbeats are heard and only one side has something to say", () => {
    const { network, a, b } = relayed({
      node: { features: PeerFeature.FORWARD_SECRET | PeerFeature.REKEY, rekey: { packets: 20 } },
      conditions: { delayMs: 10 },
    });
    const to = new Receiving(b, a, 8n, { windowBytes: 0 });
    for (let i = 0; i < 600; i++) {
      a.call((core) => core.send(b.nodeId, 8n, numbered(1, 100, i)));
      network.advance(100);
    }
    expect(to.numbers).toEqual(range(600));
    expect(epochs(a, b)[0]).toBe(epochs(a, b)[1]);
    expect(epochs(a, b)[0]).toBeGreaterThan(8);
    expect([...sessionOf(a, b).rx].length).toBeLessThanOrEqual(3);
  });

  it.each<[Partial<RekeyLimits>]>([
    [{ packets: 0 }],
    [{ packets: 2 ** 30 + 1 }],
    [{ packets: 1.5 }],
    [{ bytes: 0 }],
    [{ bytes: Number.NaN }],
    [{ intervalMs: 999 }],
    [{ intervalMs: Number.NaN }],
  ])("have no limit like %o", (rekey) => {
    expect(codeOf(() => createTestNetwork(0).add({ rekey }))).toBe("config");
  });
});

describe("renewal on a bad network", () => {
  const REKEYS = 500;

  it.each([1, 2])(
    `loses, repeats and reorders nothing of two busy streams over ${REKEYS} epochs (seed %i)`,
    (seed) => {
      withSeeds([seed], () => {
        const { network, a, b } = pair({
          seed,
          node: {
            rekey: { packets: 8 },
            heartbeatMs: 1_000,
            sessionTimeoutMs: 60_000,
            repairBudgetMs: 60_000,
          },
          conditions: {
            delayMs: 20,
            jitterMs: 20,
            loss: 0.2,
            duplication: 0.1,
            reordering: 0.2,
            reorderingMs: 60,
          },
        });
        watchNonces(network);
        const { atB, atA, toB, toA } = transfer(a, b);
        const unreliable: number[] = [];
        const sink = new Receiving(b, a, 8n, {});
        let written = 0;
        while (sessionOf(a, b).keyEpoch < REKEYS) {
          toB.write(...numbered(3, 1_000, written));
          toA.write(...numbered(3, 1_000, written));
          a.call((core) => core.send(b.nodeId, 8n, numbered(1, 100, written)));
          written += 3;
          network.advance(700);
          for (const side of [sessionOf(a, b), sessionOf(b, a)]) {
            expect([...side.rx].length).toBeLessThanOrEqual(3);
          }
          const [atInitiator, atResponder] = epochs(a, b);
          expect(Math.abs(atInitiator - atResponder)).toBeLessThanOrEqual(1);
        }
        network.net.conditions = {};
        toB.finish();
        toA.finish();
        until(network, () => atA.ends + atB.ends === 2);
        expect(atB.numbers).toEqual(range(written));
        expect(atA.numbers).toEqual(range(written));
        unreliable.push(...sink.events.map(numberOf));
        expect(new Set(unreliable).size).toBe(unreliable.length);
        expect(unreliable.length).toBeGreaterThan(written / 3 / 2);
        for (const node of [a, b]) expect(node.core.counters.epochUnknown).toBe(0);
        expect(epochs(a, b)[1]).toBeGreaterThanOrEqual(REKEYS - 1);
      });
    },
    60_000,
  );

  it("loses no packet of an unreliable stream that is only reordered", () => {
    withSeeds([1, 2, 3], (seed) => {
      const { network, a, b } = pair({
        seed,
        node: { rekey: { packets: 100 } },
        conditions: { delayMs: 20, reordering: 0.3, reorderingMs: 300 },
      });
      const atB = new Receiving(b, a, 8n, { windowBytes: 0 });
      const atA = new Receiving(a, b, 8n, { windowBytes: 0 });
      for (let i = 0; i < 2_000; i++) {
        a.call((core) => core.send(b.nodeId, 8n, numbered(1, 100, i)));
        b.call((core) => core.send(a.nodeId, 8n, numbered(1, 100, i)));
        network.advance(15);
      }
      network.advance(1_000);
      for (const { numbers } of [atB, atA]) expect(numbers.toSorted((x, y) => x - y)).toEqual(range(2_000));
      expect(epochs(a, b)[0]).toBeGreaterThan(5);
      expect(network.net.stats.reordered).toBeGreaterThan(500);
    });
  });

  it("answers a repeated proposal with the same acceptance when that was lost", () => {
    const { network, a, b } = pair();
    let dropped = 0;
    network.net.tap = (_, from) => {
      const isLost =
        from.equals(b.transport.localAddress) && sessionOf(b, a).rekeying?.answered !== undefined;
      return !(isLost && dropped++ < 3);
    };
    say(network, b, a, { kind: RekeyKind.REQUEST, epoch: 1 });
    const first = sessionOf(b, a).rekeying?.answered?.message;
    expect(first?.length).toBe(37);
    expect(epochs(a, b)).toEqual([0, 0]);
    const agreements = vi.spyOn(defaultCurve, "sharedSecret");
    network.advance(3_000);
    expect(dropped).toBeGreaterThan(2);
    expect(sessionOf(b, a).rekeying?.answered?.message).toBe(first);
    expect(epochs(a, b)).toEqual([1, 1]);
    // That of the initiator; the responder's was before.
    expect(agreements).toHaveBeenCalledTimes(1);
  });

  it("takes several copies of a proposal for one", () => {
    // A round trip of two seconds, within which a proposal is repeated after 0.25, 0.75 and 1.75 s.
    const { network, a, b } = pair({ conditions: { delayMs: 1_000 }, node: { heartbeatMs: 20_000 } });
    network.advance(5_000);
    network.net.tap = undefined;
    network.net.inject(
      sealed(b, a, { kind: RekeyKind.REQUEST, epoch: 1 }),
      b.transport.localAddress,
      a.transport.localAddress,
    );
    network.advance(15_000);
    expect(epochs(a, b)).toEqual([1, 1]);
    expect([a.core.counters.rekeys, b.core.counters.rekeys]).toEqual([1, 1]);
    // The acceptances that came too late.
    expect(a.core.counters.rekeyIgnored).toBeGreaterThan(0);
  });

  it("goes on where it was when a partition in the middle is healed", () => {
    for (const cutBy of ["acceptance", "proof"] as const) {
      const { network, a, b } = pair({ node: { heartbeatMs: 1_000, sessionTimeoutMs: 4_000 } });
      const [atA, atB] = [a.transport.localAddress, b.transport.localAddress];
      network.net.tap = (_, from) => {
        const rekeying = sessionOf(b, a).rekeying;
        const isCut =
          cutBy === "acceptance"
            ? rekeying?.pendingKey !== undefined
            : sessionOf(a, b).keyEpoch === 1 && from.equals(atA);
        if (isCut) network.net.partition(atA, atB);
        return true;
      };
      say(network, b, a, { kind: RekeyKind.REQUEST, epoch: 1 });
      network.net.tap = undefined;
      network.advance(20_000);
      expect(a.eventsOf("peer-lost").length).toBe(1);
      expect(epochs(a, b)).toEqual(cutBy === "acceptance" ? [0, 0] : [1, 0]);
      network.net.heal(atA, atB);
      network.advance(6_000);
      expect(epochs(a, b)).toEqual([1, 1]);
      for (const node of [a, b]) {
        expect(node.eventsOf("peer-recovered").length).toBe(1);
        expect(node.core.counters.handshakesCompleted).toBe(1);
      }
      const to = new Receiving(b, a, 7n, RELIABLE);
      new Sending(a, b, 7n, RELIABLE).write(...numbered(10)).finish();
      until(network, () => to.ends === 1);
    }
  });
});

describe("keys of the past", () => {
  it("open packets that were overtaken for some seconds, and are destroyed then", () => {
    const { network, a, b } = pair();
    const held: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      const isHeld = from.equals(a.transport.localAddress) && held.length < 2;
      if (isHeld) held.push(copyBytes(bytes));
      return !isHeld;
    };
    for (let i = 0; i < 2; i++) {
      a.call((core) => core.send(b.nodeId, 1n, numbered(1, 100, i)));
      network.advance(1);
    }
    const old = sessionOf(b, a).rx.current;
    renew(network, a, b);
    const arrive = (bytes: Uint8Array) => {
      network.net.inject(bytes, a.transport.localAddress, b.transport.localAddress);
      network.advance(0);
    };
    const opened = b.core.counters.opened;
    arrive(held[0] as Uint8Array);
    expect(b.core.counters.opened).toBe(opened + 1);
    arrive(held[0] as Uint8Array);
    expect(b.core.counters.replay).toBe(1);
    network.advance(PREVIOUS_EPOCH_MS);
    const unknown = b.core.counters.epochUnknown;
    arrive(held[1] as Uint8Array);
    expect(b.core.counters.epochUnknown).toBe(unknown + 1);
    const bytes = held[1] as Uint8Array;
    expect(codeOf(() => old.cipher.openPacket(bytes, 0, bytes.length))).toBe("destroyed");
    expect([...sessionOf(b, a).rx].map(({ number }) => number)).toEqual([1]);
    expect(b.eventsOf("data").flatMap(({ packet }) => packet.events.map(numberOf))).toEqual([0]);
  });

  it("are agreed on with private keys that are wiped on both sides", () => {
    const made = vi.spyOn(defaultCurve, "generateKeyPair");
    const { network, a, b } = pair();
    made.mockClear();
    renew(network, a, b);
    const privateKeys = made.mock.results.map(({ value }) => (value as X25519KeyPair).privateKey);
    expect(privateKeys).toEqual([new Uint8Array(32), new Uint8Array(32)]);
  });

  it("seal nothing any more, and neither does the chain bring them back", () => {
    const { network, a, b } = pair();
    const chain = copyBytes(sessionOf(a, b).rekeying?.chainSecret as Uint8Array);
    renew(network, a, b);
    for (const session of [sessionOf(a, b), sessionOf(b, a)]) {
      expect(session.rekeying?.chainSecret).not.toEqual(chain);
      expect(session.rekeying?.unanswered).toBeUndefined();
      expect(session.rekeying?.pendingKey).toBeUndefined();
    }
    expect(sessionOf(a, b).rekeying?.chainSecret).toEqual(sessionOf(b, a).rekeying?.chainSecret);
  });

  it("are never shown, and neither are those that are being agreed on", () => {
    const { network, a, b } = pair();
    const drawn = eavesdropRandom(network);
    // The proposal gets lost, so that its private key is still needed.
    network.net.tap = (_, from) => !from.equals(a.transport.localAddress);
    say(network, b, a, { kind: RekeyKind.REQUEST, epoch: 1 });
    const session = sessionOf(a, b);
    expect(session.rekeying?.pair).toBeDefined();
    const secrets = [...drawn, copyBytes(session.rekeying?.chainSecret as Uint8Array)];
    expect(secrets.length).toBeGreaterThan(1);
    const shown = bytesWithin(session);
    expect(shown).toContain(bytesToHex(session.rekeying?.unanswered?.message as Uint8Array));
    for (const secret of secrets) expect(shown).not.toContain(bytesToHex(secret));
    expect(JSON.stringify(session.rekeying)).toBe('{"epoch":0,"isDue":true,"keys":"[redacted]"}');
  });

  it("make nothing of a recording of everything that was said under them", () => {
    const { network, a, b } = pair();
    const recorded: [Uint8Array, SocketAddress, SocketAddress][] = [];
    network.net.tap = (bytes, from, to) => {
      recorded.push([copyBytes(bytes), from, to]);
      return true;
    };
    renew(network, a, b);
    network.net.tap = undefined;
    renew(network, a, b);
    network.advance(PREVIOUS_EPOCH_MS + 1_000);
    const before = { ...b.core.counters };
    for (const [bytes, from, to] of recorded) network.net.inject(bytes, from, to);
    network.advance(100);
    expect(epochs(a, b)).toEqual([2, 2]);
    expect(b.core.counters.opened).toBe(before.opened);
    expect(b.core.counters.epochUnknown).toBeGreaterThan(before.epochUnknown);
    expect(b.core.counters.rekeys).toBe(before.rekeys);
  });

  it("do not move a session to where its overtaken packets come from", () => {
    const { network, a, b } = pair({ node: { heartbeatMs: 20_000, sessionTimeoutMs: 60_000 } });
    const elsewhere = SocketAddress.parse("192.0.2.1:1");
    const held: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      const isHeld = from.equals(a.transport.localAddress) && held.length < 5;
      if (isHeld) held.push(copyBytes(bytes));
      return !isHeld;
    };
    for (let i = 0; i < 5; i++) {
      a.call((core) => core.send(b.nodeId, 1n, numbered(1, 100, i)));
      network.advance(1);
    }
    renew(network, a, b);
    const opened = b.core.counters.opened;
    for (const bytes of held) network.net.inject(bytes, elsewhere, b.transport.localAddress);
    let asked = 0;
    network.net.tap = (_, __, to) => {
      if (to.equals(elsewhere)) asked++;
      return true;
    };
    network.advance(10);
    expect(b.core.counters.opened).toBe(opened + 5);
    expect(asked).toBe(0);
    // Those of the newest epoch make it ask there.
    for (let i = 0; i < 3; i++) {
      const bytes = sessionOf(a, b).builder.build(1n, BigInt(100 + i), numbered(1));
      network.net.inject(bytes, elsewhere, b.transport.localAddress);
    }
    network.advance(10);
    expect(asked).toBe(1);
  });
});

describe("an epoch in a header that was forged", () => {
  it.each([
    ["unknown", [1, 5, 0xffff_ffff], "epochUnknown"],
    ["of the keys before", [0], "authFailed"],
  ] as const)("drops the packet when it is %s, and changes nothing", (_, numbers, counter) => {
    const { network, a, b } = pair();
    if (counter === "authFailed") renew(network, a, b);
    for (const number of numbers) {
      const bytes = sessionOf(a, b).builder.build(1n, 0n, numbered(1));
      new DataView(bytes.buffer).setUint32(HeaderOffset.COUNTER + 4, number, true);
      const before = b.core.counters[counter];
      network.net.inject(bytes, a.transport.localAddress, b.transport.localAddress);
      network.advance(0);
      expect(b.core.counters[counter]).toBe(before + 1);
    }
    const { atB, toB } = transfer(a, b);
    toB.write(...numbered(10)).finish();
    until(network, () => atB.ends === 1);
    expect(atB.numbers).toEqual(range(10));
  });
});

describe("a peer that does not keep to the rules", () => {
  const { PROPOSE, ACCEPT, REQUEST } = RekeyKind;
  const own = defaultCurve.publicKey(KEY);

  it.each<[string, "initiator" | "responder", RekeyMessage]>([
    ["proposes the epoch in use", "initiator", { kind: PROPOSE, epoch: 1, publicKey: own }],
    ["proposes a past epoch", "initiator", { kind: PROPOSE, epoch: 0, publicKey: own }],
    ["leaves an epoch out", "initiator", { kind: PROPOSE, epoch: 3, publicKey: own }],
    ["proposes the last epoch of all", "initiator", { kind: PROPOSE, epoch: 0xffff_ffff, publicKey: own }],
    ["proposes a key of small order", "initiator", { kind: PROPOSE, epoch: 2, publicKey: SMALL_ORDER }],
    ["accepts as the initiator", "initiator", { kind: ACCEPT, epoch: 2, publicKey: own }],
    ["asks for a proposal as the initiator", "initiator", { kind: REQUEST, epoch: 2 }],
    ["proposes as the responder", "responder", { kind: PROPOSE, epoch: 2, publicKey: own }],
    ["accepts what was not proposed", "responder", { kind: ACCEPT, epoch: 2, publicKey: own }],
    ["accepts what was agreed on already", "responder", { kind: ACCEPT, epoch: 1, publicKey: own }],
    ["asks for the epoch in use", "responder", { kind: REQUEST, epoch: 1 }],
    ["asks for a far one", "responder", { kind: REQUEST, epoch: 9 }],
  ])("is ignored when it %s", (_, role, message) => {
    const { network, a, b } = pair();
    renew(network, a, b);
    network.advance(PREVIOUS_EPOCH_MS + 1_000);
    const [from, to] = role === "initiator" ? [a, b] : [b, a];
    const before = to.core.counters.rekeyIgnored;
    say(network, from, to, message);
    expect(to.core.counters.rekeyIgnored).toBe(before + 1);
    expect(epochs(a, b)).toEqual([1, 1]);
    expect([...sessionOf(to, from).rx].length).toBe(1);
    // The session goes on, and so does renewal.
    network.advance(1_000);
    renew(network, a, b);
    expect(epochs(a, b)).toEqual([2, 2]);
  });

  it("is ignored when it accepts keys before it has shown the ones in between", () => {
    const { network, a, b } = pair();
    // The responder never gets to know that the initiator has switched.
    network.net.tap = (bytes, from) =>
      !from.equals(a.transport.localAddress) || readU32(bytes, HeaderOffset.COUNTER + 4) === 0;
    say(network, b, a, { kind: REQUEST, epoch: 1 });
    until(network, () => sessionOf(a, b).keyEpoch === 1);
    say(network, b, a, { kind: REQUEST, epoch: 2 });
    expect(sessionOf(a, b).rekeying?.unanswered?.epoch).toBe(2);
    const before = a.core.counters.rekeyIgnored;
    say(network, b, a, { kind: ACCEPT, epoch: 2, publicKey: own });
    expect(a.core.counters.rekeyIgnored).toBe(before + 1);
    expect(epochs(a, b)).toEqual([1, 0]);
    expect([...sessionOf(a, b).rx].map(({ number }) => number)).toEqual([0, 1]);
    network.net.tap = undefined;
    until(network, () => epochs(a, b).every((epoch) => epoch === 2));
  });

  it("is put off when it proposes again before packets of the last keys can all have arrived", () => {
    const { network, a, b } = pair();
    renew(network, a, b);
    const message: RekeyMessage = { kind: PROPOSE, epoch: 2, publicKey: own };
    say(network, a, b, message);
    expect(b.core.counters.rekeyPaced).toBe(1);
    expect([...sessionOf(b, a).rx].map(({ number }) => number)).toEqual([0, 1]);
    network.advance(PREVIOUS_EPOCH_MS);
    say(network, a, b, message);
    expect(b.core.counters.rekeyPaced).toBe(1);
    expect([...sessionOf(b, a).rx].map(({ number }) => number)).toEqual([1, 2]);
  });

  it("is ignored when it proposes a second key for an epoch that was agreed to", () => {
    const { network, a, b } = pair();
    const other = defaultCurve.publicKey(new Uint8Array(32).fill(3));
    // The answers reach an initiator that has proposed nothing.
    say(network, a, b, { kind: PROPOSE, epoch: 1, publicKey: own });
    const answer = sessionOf(b, a).rekeying?.answered;
    expect(answer?.initiatorEphemeral).toEqual(own);
    say(network, a, b, { kind: PROPOSE, epoch: 1, publicKey: other });
    expect(b.core.counters.rekeyIgnored).toBe(1);
    expect(sessionOf(b, a).rekeying?.answered).toBe(answer);
    expect(epochs(a, b)).toEqual([0, 0]);
    expect(a.core.counters.rekeyIgnored).toBe(1);
  });

  it("is ignored when it accepts with a key of small order, and may accept properly after", () => {
    const { network, a, b } = pair();
    // Nothing of the responder's engine gets through, its answer neither.
    let isForged = false;
    network.net.tap = (_, from) => isForged || !from.equals(b.transport.localAddress);
    const forge = (message: RekeyMessage) => {
      isForged = true;
      network.net.inject(sealed(b, a, message), b.transport.localAddress, a.transport.localAddress);
      isForged = false;
      network.advance(50);
    };
    forge({ kind: REQUEST, epoch: 1 });
    forge({ kind: ACCEPT, epoch: 1, publicKey: SMALL_ORDER });
    expect(a.core.counters.rekeyIgnored).toBe(1);
    expect(epochs(a, b)).toEqual([0, 0]);
    network.net.tap = undefined;
    network.advance(5_000);
    expect(epochs(a, b)).toEqual([1, 1]);
  });

  it("counts what it says wrongly as malformed", () => {
    const { network, a, b } = pair();
    const { builder } = sessionOf(a, b);
    for (const event of [
      new Uint8Array(0),
      Uint8Array.of(4, 1, 0, 0, 0),
      Uint8Array.of(3, 1, 0, 0),
      new Uint8Array(37),
    ]) {
      const bytes = builder.buildSubprotocol(CONTROL_STREAM_ID, 0n, [event], 0, NETMESH_CONTROL);
      network.net.inject(bytes, a.transport.localAddress, b.transport.localAddress);
    }
    network.advance(0);
    expect(b.core.counters.controlMalformed).toBe(4);
  });

  it("causes four key agreements a second with a session, however many proposals it sends", () => {
    const { network, a, b } = pair();
    const agreements = vi.spyOn(defaultCurve, "sharedSecret");
    for (let i = 0; i < 200; i++) {
      const bytes = sealed(a, b, { kind: PROPOSE, epoch: 1, publicKey: SMALL_ORDER });
      network.net.inject(bytes, a.transport.localAddress, b.transport.localAddress);
      network.advance(10);
    }
    expect(agreements.mock.calls.length).toBeGreaterThan(4);
    expect(agreements.mock.calls.length).toBeLessThanOrEqual(12);
    expect(b.core.counters.rekeyPaced).toBe(200 - agreements.mock.calls.length);
    // A genuine proposal gets its turn.
    network.advance(1_000);
    renew(network, a, b);
  });

  it("causes no more by bad acceptances, which do not keep other sessions from being renewed a second later", () => {
    const network = createTestNetwork(1);
    const [a] = network.nodes as [TestNode];
    const peers = Array.from({ length: 65 }, () => network.add());
    for (const peer of peers) {
      a.connect(peer);
      network.advance(50);
    }
    const last = peers.pop() as TestNode;
    const forge = (peer: TestNode, message: RekeyMessage) =>
      network.net.inject(sealed(peer, a, message), peer.transport.localAddress, a.transport.localAddress);
    network.advance(1_000);
    const agreements = vi.spyOn(defaultCurve, "sharedSecret");
    // The proposals never arrive, so that only the forged acceptances are there.
    network.net.tap = (_, from) => !from.equals(a.transport.localAddress);
    for (const peer of peers) forge(peer, { kind: REQUEST, epoch: 1 });
    network.advance(0);
    for (const peer of peers) {
      for (let i = 0; i < 10; i++) forge(peer, { kind: ACCEPT, epoch: 1, publicKey: SMALL_ORDER });
    }
    network.advance(0);
    // Each session has made one key and tried three acceptances.
    expect(agreements).toHaveBeenCalledTimes(64 * 3);
    expect(a.core.counters.rekeyPaced).toBe(64 * 7);
    network.net.tap = undefined;
    forge(last, { kind: REQUEST, epoch: 1 });
    network.advance(50);
    expect(sessionOf(a, last).keyEpoch).toBe(0);
    expect(a.core.counters.rekeyPaced).toBe(64 * 7 + 1);
    network.advance(6_000);
    for (const peer of [...peers, last]) expect(epochs(a, peer)).toEqual([1, 1]);
  });

  it("causes 256 key agreements a second with a node, with however many sessions", () => {
    const network = createTestNetwork(1);
    const [b] = network.nodes as [TestNode];
    const peers = Array.from({ length: 80 }, () =>
      network.add({ rekey: { intervalMs: Number.POSITIVE_INFINITY } }),
    );
    for (const peer of peers) {
      peer.connect(b);
      network.advance(50);
    }
    const agreements = vi.spyOn(defaultCurve, "sharedSecret");
    for (const peer of peers) {
      for (let i = 0; i < 4; i++) {
        const bytes = sealed(peer, b, { kind: PROPOSE, epoch: 1, publicKey: SMALL_ORDER });
        network.net.inject(bytes, peer.transport.localAddress, b.transport.localAddress);
      }
    }
    network.advance(0);
    expect(agreements).toHaveBeenCalledTimes(256);
    expect(b.core.counters.rekeyPaced).toBe(80 * 4 - 256);
  });
});

describe("a key that has sealed all it may", () => {
  it.each([
    ["of an epoch", undefined, 2n ** 31n],
    ["of a session without epochs", 0, 2n ** 64n - 1n],
  ])("ends the session with a typed error and seals nothing more (%s)", (_, features, end) => {
    const network = createTestNetwork(0, { node: { datagramBytes: 8_192 } });
    const a = network.add();
    const b = network.add(features === undefined ? {} : { features });
    a.connect(b);
    network.advance(100);
    const watch = watchNonces(network);
    const session = sessionOf(a, b);
    // As if all counters but the last three were used up.
    const counter = new LocalCounter(end - 3n, end);
    session.useKey(new SealingKey(randomBytes(32, network.random), session.id, { counter }));
    const stream = new Sending(a, b, 7n, RELIABLE).write(...numbered(10, 8_000));
    const other = new Sending(a, b, 8n, {});
    network.advance(10);
    expect(watch.highest()).toBe(end - 1n);
    expect([stream.failure?.code, other.failure?.code]).toEqual(["counter-exhausted", "counter-exhausted"]);
    expect(a.eventsOf("peer-removed").map(({ peer }) => peer.nodeId)).toEqual([b.nodeId]);
    expect(a.core.peer(b.nodeId)).toBeUndefined();
    const sent = a.core.counters.datagramsSent;
    network.advance(1_000);
    expect(a.core.counters.datagramsSent).toBe(sent);
    expect(a.errors).toEqual([]);
    // A new handshake makes a new session.
    a.connect(b);
    expect(sessionOf(a, b)).not.toBe(session);
  });

  it("by a heartbeat ends the session too", () => {
    const { network, a, b } = pair({ node: { heartbeatMs: 1_000, sessionTimeoutMs: 10_000 } });
    const session = sessionOf(a, b);
    const counter = new LocalCounter(BigInt(MAX_EPOCH_PACKETS), BigInt(MAX_EPOCH_PACKETS));
    session.useKey(new SealingKey(KEY, session.id, { counter }));
    network.advance(2_000);
    expect(a.eventsOf("peer-removed").length).toBe(1);
    expect(a.errors).toEqual([]);
  });
});
