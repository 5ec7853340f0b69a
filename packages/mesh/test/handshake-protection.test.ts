import { bytesToHex, hexToBytes } from "@netmesh/crypto";
import { DatagramBatch, PacketFlags, ROUTING_HEADER_SIZE, SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { CookieReplies } from "../src/handshake/cookie-reply.ts";
import { handshakeDatagram } from "../src/handshake/handshake-datagram.ts";
import { MemberStamps, PROOF_OFFSET, StampLabel } from "../src/handshake/member-stamp.ts";
import { createTestNetwork, SeededRandom, type TestNetwork, type TestNode } from "../src/testing/index.ts";
import { Forger, GUARD_FIELDS, recordings } from "./forgery.ts";
import { codeOf, numbered, pair, RELIABLE, Receiving, range, Sending, until } from "./traffic.ts";

/** Where the header of a routed packet begins. */
const HEADER = ROUTING_HEADER_SIZE;
const COOKIE_REPLY_BYTES = HEADER + 68;

const isNode =
  (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node !== undefined;

interface Scene {
  readonly network: TestNetwork;
  readonly a: TestNode;
  readonly b: TestNode;
  readonly forger: Forger;
}

function scene(): Scene {
  const network = createTestNetwork(2, { conditions: { delayMs: 5 } });
  const [a, b] = network.nodes as [TestNode, TestNode];
  return { network, a, b, forger: new Forger(network) };
}

/** Begins to connect; tells when it was done, undefined before. */
function dial({ network }: Scene, from: TestNode, to: TestNode, relay?: TestNode): () => number | undefined {
  let doneAtMs: number | undefined;
  const via = (relay ?? to).transport.localAddress;
  const attempt = from.call((core) => core.connect(to.nodeId, to.keys.publicKey, via, "routed"));
  from.listeners.add((event) => {
    if (event.type === "connected" && event.attempt === attempt) doneAtMs = network.clock.now();
  });
  return () => doneAtMs;
}

/** Puts a node under load by a burst of stamped messages from nowhere. */
function load({ network, forger }: Scene, victim: TestNode): void {
  forger.flood(victim, 10, 20, () => forger.member(victim));
  network.advance(0);
}

function collect({ network }: Scene, from: TestNode, isWanted: (bytes: Uint8Array) => boolean): Uint8Array[] {
  const seen: Uint8Array[] = [];
  network.net.tap = (bytes, source) => {
    if (source.equals(from.transport.localAddress) && isWanted(bytes)) seen.push(bytes.slice());
    return true;
  };
  return seen;
}

const isCookieReply = (bytes: Uint8Array) => bytes.length === COOKIE_REPLY_BYTES;
const isRoutedHandshake = (bytes: Uint8Array) =>
  bytes[0] === 0x52 && bytes[HEADER + 3] === PacketFlags.HANDSHAKE;
const guardFields = (bytes: Uint8Array) => bytes.subarray(HEADER + GUARD_FIELDS[0], HEADER + GUARD_FIELDS[1]);

describe("a flood of handshake messages", () => {
  it("by an outsider, 20 a millisecond, keeps no member from connecting", () => {
    const s = scene();
    const { a, b, forger } = s;
    forger.flood(b, 1_500, 20, (i) => forger.outsider(b, i % 2 === 0));
    const connected = dial(s, a, b);
    forger.flood(b, 100, 20, (i) => forger.outsider(b, i % 2 === 0));
    expect(connected()).toBeDefined();
    const { handshakeBad, handshakePaced, handshakeChallenged } = b.core.counters;
    // A full budget in the first second, a quarter in the next.
    expect(handshakeBad).toBeLessThanOrEqual(320);
    expect(handshakePaced).toBeGreaterThan(30_000);
    expect(handshakeChallenged).toBe(0);
  });

  it("by an outsider at a node that dials keeps no answer of a member from it", () => {
    const s = scene();
    const { a, b, forger } = s;
    forger.flood(a, 1_500, 20, (i) => forger.outsider(a, i % 2 === 0, b.nodeId));
    const connected = dial(s, a, b);
    forger.flood(a, 100, 20, (i) => forger.outsider(a, i % 2 === 0, b.nodeId));
    expect(connected()).toBeDefined();
  });

  it("by an outsider that writes the very address that is dialled keeps no answer of a member from it", () => {
    const s = scene();
    const { network, a, b, forger } = s;
    const connected = dial(s, a, b);
    for (let ms = 0; ms < 30; ms++) {
      for (let i = 0; i < 20; i++) {
        a.transport.deliver(forger.outsider(a, i % 2 === 0, b.nodeId), b.transport.localAddress);
      }
      network.advance(1);
    }
    expect(a.core.counters.handshakePaced).toBeGreaterThan(300);
    expect(connected()).toBeDefined();
  });

  it("by an outsider at a node that dials keeps no answer of a node of the reference from it", () => {
    const network = createTestNetwork(1, { conditions: { delayMs: 5 } });
    const [a] = network.nodes as [TestNode];
    const b = network.add({ features: 0 });
    const s = { network, a, b, forger: new Forger(network) };
    s.forger.flood(a, 1_500, 20, () => s.forger.outsider(a, false, b.nodeId));
    const connected = dial(s, a, b);
    s.forger.flood(a, 100, 20, () => s.forger.outsider(a, false, b.nodeId));
    expect(connected()).toBeDefined();
  });

  it("by a member, 3 a millisecond from spoofed sources, keeps nobody from connecting", () => {
    const s = scene();
    const { a, b, forger } = s;
    forger.flood(b, 1_500, 3, () => forger.member(b));
    const connected = dial(s, a, b);
    forger.flood(b, 200, 3, () => forger.member(b));
    expect(connected()).toBeDefined();
    expect(a.core.counters.handshakeCookieTaken).toBe(1);
    // Half of one second's budget before the load was known.
    expect(b.core.counters.handshakeBad).toBe(128);
  });

  it("of a member's recorded messages, 20 a millisecond from spoofed sources, keeps nobody from connecting", () => {
    const s = scene();
    const { network, a, b, forger } = s;
    const recorded = recordings(network, a, b, 400);
    const again = (i: number) => recorded[i % recorded.length] as Uint8Array;
    forger.flood(b, 3_000, 20, again);
    const c = network.add();
    const connected = dial(s, c, b);
    forger.flood(b, 200, 20, again);
    expect(connected()).toBeDefined();
    const { handshakesCompleted, handshakeChallenged, handshakeRepeatLimited } = b.core.counters;
    expect(handshakesCompleted).toBeLessThanOrEqual(129);
    // Each recording once in four seconds.
    expect(handshakeChallenged).toBeLessThanOrEqual(401);
    expect(handshakeRepeatLimited).toBeGreaterThan(10_000);
  });

  it("of recorded messages that bear a cookie is of no use from another address", () => {
    const s = scene();
    const { network, a, b, forger } = s;
    load(s, b);
    const sent: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      if (!from.equals(a.transport.localAddress)) return true;
      sent.push(bytes.slice());
      return sent.length === 1;
    };
    dial(s, a, b);
    network.advance(100);
    const withCookie = sent[1] as Uint8Array;
    expect(guardFields(withCookie).subarray(16, 28)).not.toEqual(new Uint8Array(12));
    const { handshakesCompleted, handshakeChallenged } = b.core.counters;
    for (let i = 0; i < 100; i++) b.transport.deliver(withCookie, forger.source());
    network.advance(10);
    expect(b.core.counters.handshakesCompleted).toBe(handshakesCompleted);
    expect(b.core.counters.handshakeChallenged).toBe(handshakeChallenged + 1);
  });

  it("never makes a node send more than it was sent, message by message", () => {
    const s = scene();
    const { network, a, b, forger } = s;
    const recorded = recordings(network, a, b, 50);
    let sentBytes = 0;
    network.net.tap = (bytes, from) => {
      if (from.equals(b.transport.localAddress)) sentBytes += bytes.length;
      return true;
    };
    const make = [
      () => forger.outsider(b, true),
      () => forger.outsider(b, false),
      () => forger.member(b),
      (i: number) => recorded[i % recorded.length] as Uint8Array,
    ];
    for (let i = 0; i < 2_000; i++) {
      sentBytes = 0;
      const datagram = (make[i % make.length] as (i: number) => Uint8Array)(i);
      b.transport.deliver(datagram, forger.source());
      network.advance(1);
      expect(sentBytes).toBeLessThanOrEqual(datagram.length);
    }
    expect(b.core.counters.handshakeChallenged).toBeGreaterThan(100);
  });

  // Browsers do not tell.
  it.runIf(isNode)(
    "from 200 000 sources leaves no memory behind",
    async () => {
      const { a, b, forger } = scene();
      const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([
        import("node:v8"),
        import("node:vm"),
      ]);
      setFlagsFromString("--expose-gc");
      const collectGarbage = runInNewContext("gc") as () => void;
      const used = () => {
        collectGarbage();
        const { heapUsed, arrayBuffers } = process.memoryUsage();
        return heapUsed + arrayBuffers;
      };
      a.connect(b);
      // Whatever is made once, and the code.
      forger.flood(b, 20, 100, (i) => (i % 3 === 0 ? forger.member(b) : forger.outsider(b, i % 3 === 1)));
      const before = used();
      forger.flood(b, 2_000, 100, (i) => (i % 8 === 0 ? forger.member(b) : forger.outsider(b, i % 8 === 1)));
      expect(used() - before).toBeLessThan(3_000_000);
      expect(b.core.counters.datagramsReceived).toBeGreaterThan(200_000);
    },
    60_000,
  );
});

describe("a node under load", () => {
  it("asks members to prove their address, once and without a public-key operation", () => {
    const s = scene();
    load(s, s.b);
    const replies = collect(s, s.b, isCookieReply);
    const { handshakesCompleted } = s.b.core.counters;
    s.a.connect(s.b);
    expect(replies.length).toBe(1);
    expect(s.a.core.counters.handshakeCookieTaken).toBe(1);
    expect(s.b.core.counters.handshakesCompleted).toBe(handshakesCompleted + 1);
  });

  it("answers at once again after a quiet second", () => {
    const s = scene();
    load(s, s.b);
    s.network.advance(2_000);
    s.a.connect(s.b);
    expect(s.a.core.counters.handshakeCookieTaken).toBe(0);
  });

  it("gets fresh ephemerals with each cookie, and identical repetitions otherwise", () => {
    const s = scene();
    load(s, s.b);
    const sent = collect(s, s.a, isRoutedHandshake);
    s.b.kill();
    const silent = dial(s, s.a, s.b);
    s.network.advance(4_900);
    expect(silent()).toBeUndefined();
    expect(sent.length).toBe(5);
    expect(new Set(sent.map(bytesToHex)).size).toBe(1);
    const t = scene();
    load(t, t.b);
    const messages = collect(t, t.a, isRoutedHandshake);
    t.a.connect(t.b);
    const ephemerals = messages.map((bytes) => bytesToHex(bytes.subarray(86, 118)));
    expect(new Set(ephemerals).size).toBe(2);
  });

  it("serves a node of the reference as long as its budget allows, and never sends it a cookie", () => {
    const s = scene();
    const c = s.network.add({ features: 0 });
    load(s, s.b);
    const toC: Uint8Array[] = [];
    const fromC: Uint8Array[] = [];
    s.network.net.tap = (bytes, from, to) => {
      if (to.equals(c.transport.localAddress)) toC.push(bytes.slice());
      if (from.equals(c.transport.localAddress) && isRoutedHandshake(bytes)) fromC.push(bytes.slice());
      return true;
    };
    c.connect(s.b);
    expect(toC.filter(isCookieReply)).toEqual([]);
    for (const bytes of [...fromC, ...toC.filter(isRoutedHandshake)]) {
      expect(guardFields(bytes)).toEqual(new Uint8Array(32));
    }
    expect(fromC.length).toBe(1);
  });

  it("connects although the cookie is lost", () => {
    const s = scene();
    load(s, s.b);
    let left = 1;
    s.network.net.tap = (bytes) => !(isCookieReply(bytes) && left-- > 0);
    const connected = dial(s, s.a, s.b);
    // Still under load when the message comes again.
    s.forger.flood(
      s.b,
      10_000,
      1,
      () => s.forger.member(s.b),
      () => connected() !== undefined,
    );
    expect(left).toBeLessThan(0);
    expect(connected()).toBeLessThan(6_000);
  });

  it("accepts a cookie for one minute at least, and for two at most", () => {
    for (const [pauseMs, isAccepted] of [
      [59_000, true],
      [121_000, false],
    ] as const) {
      const network = createTestNetwork(2, { node: { handshakeTimeoutMs: 200_000 } });
      const [a, b] = network.nodes as [TestNode, TestNode];
      const s = { network, a, b, forger: new Forger(network) };
      load(s, b);
      let kept: Uint8Array | undefined;
      network.net.tap = (bytes, from) => {
        if (!from.equals(a.transport.localAddress) || !isRoutedHandshake(bytes)) return true;
        if (
          guardFields(bytes)
            .subarray(16, 28)
            .every((byte) => byte === 0)
        )
          return true;
        kept ??= bytes.slice();
        return false;
      };
      const attempt = a.call((core) =>
        core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "routed"),
      );
      network.advance(pauseMs);
      load(s, b);
      a.call((core) => core.abandon(attempt));
      const { handshakesCompleted } = b.core.counters;
      b.transport.deliver(kept as Uint8Array, a.transport.localAddress);
      network.advance(1);
      expect(b.core.counters.handshakesCompleted - handshakesCompleted).toBe(isAccepted ? 1 : 0);
    }
  });

  it("lets a member that floods with a cookie of its own have its own budget only", () => {
    const s = scene();
    const { network, a, b, forger } = s;
    load(s, b);
    const thief = network.add();
    const sent = collect(s, thief, isRoutedHandshake);
    thief.connect(b);
    const cookie = guardFields(sent[1] as Uint8Array).slice(16, 28);
    const before = b.core.counters.handshakeBad;
    for (let i = 0; i < 100; i++) {
      b.transport.deliver(forger.member(b, thief.nodeId, cookie), thief.transport.localAddress);
    }
    network.advance(50);
    // One of its 32 has connected.
    expect(b.core.counters.handshakeBad - before).toBe(31);
    expect(b.core.counters.handshakeProvenPaced).toBe(69);
    const connected = dial(s, a, b);
    forger.flood(b, 50, 1, () => forger.member(b));
    expect(connected()).toBeDefined();
  });
});

describe("a direct handshake", () => {
  it("is asked for a proof under load as well, and works", () => {
    const s = scene();
    s.b.call((core) => core.expect(s.a.nodeId));
    load(s, s.b);
    s.a.call((core) => core.connect(s.b.nodeId, s.b.keys.publicKey, s.b.transport.localAddress, "direct"));
    s.network.advance(100);
    expect(s.a.core.counters.handshakeCookieTaken).toBe(1);
    expect(s.a.eventsOf("connected").length).toBe(1);
    expect(s.b.eventsOf("accepted").length).toBe(1);
  });

  it("with a node of the reference bears no stamps", () => {
    const network = createTestNetwork(1, { conditions: { delayMs: 5 } });
    const [a] = network.nodes as [TestNode];
    const b = network.add({ features: 0 });
    const s = { network, a, b, forger: new Forger(network) };
    const answers = collect(s, b, (bytes) => bytes[0] === 0x4e || bytes[0] === 0x45);
    b.call((core) => core.expect(a.nodeId));
    a.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "direct"));
    network.advance(100);
    expect(a.eventsOf("connected").length).toBe(1);
    expect((answers[0] as Uint8Array).subarray(...GUARD_FIELDS)).toEqual(new Uint8Array(32));
  });
});

describe("a stamp", () => {
  const [from, to] = [7, 9];
  const { ROUTED_MESSAGE_1, ROUTED_MESSAGE_2 } = StampLabel;

  function stamped(messageBytes: number): { stamps: MemberStamps; packet: Uint8Array } {
    const stamps = new MemberStamps(new Uint8Array(32).fill(3));
    const packet = handshakeDatagram(new SeededRandom(4).bytes(messageBytes), undefined);
    stamps.write(packet, 0, ROUTED_MESSAGE_1, from, to, packet, PROOF_OFFSET);
    return { stamps, packet };
  }

  it("holds for its message, ids, label and proof only", () => {
    const { stamps, packet } = stamped(64);
    const isValid = (label: StampLabel, source: number, destination: number, bytes = packet) =>
      stamps.verify(bytes, 0, label, source, destination, bytes, PROOF_OFFSET);
    expect(isValid(ROUTED_MESSAGE_1, from, to)).toBe(true);
    expect(isValid(ROUTED_MESSAGE_2, from, to)).toBe(false);
    expect(isValid(ROUTED_MESSAGE_1, from + 1, to)).toBe(false);
    expect(isValid(ROUTED_MESSAGE_1, from, to + 1)).toBe(false);
    for (let at = 24; at < packet.length; at++) {
      if (at >= 56 && at < 68) continue;
      const changed = packet.slice();
      changed[at] = (changed[at] as number) ^ 0x40;
      expect(isValid(ROUTED_MESSAGE_1, from, to, changed), `byte ${at}`).toBe(false);
    }
    const other = new MemberStamps(new Uint8Array(32).fill(4));
    expect(other.verify(packet, 0, ROUTED_MESSAGE_1, from, to, packet, PROOF_OFFSET)).toBe(false);
  });

  it("and a cookie reply have the bytes of the published example", () => {
    const psk = new Uint8Array(32).fill(0x42);
    const [initiator, responder] = [0x11223344, 0x55667788];
    const packet = handshakeDatagram(Uint8Array.from(range(64)), undefined);
    packet.set(hexToBytes("ddccbbaa"), 52);
    new MemberStamps(psk).write(packet, 0, ROUTED_MESSAGE_1, initiator, responder, packet, PROOF_OFFSET);
    expect(bytesToHex(packet.subarray(24, 40))).toBe("3852529d3aac3a7fd9dda13b60abde17");
    const replies = new CookieReplies(psk, { fill: (bytes) => bytes.set(range(12, 100)) });
    const cookie = Uint8Array.from(range(12, 1));
    const { ROUTED_COOKIE } = StampLabel;
    const reply = replies.write(cookie, ROUTED_COOKIE, responder, initiator, packet, 24, undefined);
    expect(bytesToHex(reply.subarray(12, 56))).toBe(
      "6465666768696a6b6c6d6e6f1585702e999204004208e31ae1f26d1dcfe838c6b854fe8eaa12910a38fc671e",
    );
    const stamp = packet.slice(24, 40);
    expect(replies.open(reply, 0, ROUTED_COOKIE, responder, initiator, stamp)).toEqual(cookie);
  });

  it("is not given to messages of more than 512 bytes", () => {
    expect(stamped(512).packet.subarray(24, 40)).not.toEqual(new Uint8Array(16));
    const { stamps, packet } = stamped(513);
    expect(packet.subarray(24, 40)).toEqual(new Uint8Array(16));
    expect(stamps.verify(packet, 0, ROUTED_MESSAGE_1, from, to, packet, PROOF_OFFSET)).toBe(false);
  });
});

describe("a cookie reply", () => {
  it("that is forged, cut or for another attempt is counted and changes nothing", () => {
    const s = scene();
    const { network, a, b } = s;
    load(s, b);
    const replies = collect(s, b, isCookieReply);
    a.connect(b);
    const genuine = replies[0] as Uint8Array;
    b.kill();
    const sent = collect(s, a, isRoutedHandshake);
    dial(s, a, b);
    network.advance(1);
    const inject = (change: (bytes: Uint8Array) => void) => {
      const bytes = genuine.slice();
      change(bytes);
      a.transport.deliver(bytes, b.transport.localAddress);
      network.advance(1);
    };
    inject(() => {});
    for (const at of [HEADER + 12, HEADER + 24, HEADER + 40, HEADER + 55]) {
      inject((bytes) => bytes.fill((bytes[at] as number) ^ 1, at, at + 1));
    }
    inject((bytes) => bytes.fill(0, HEADER + 12));
    expect(a.core.counters.handshakeCookieBad).toBe(6);
    expect(a.core.counters.handshakeCookieTaken).toBe(1);
    expect(sent.length).toBe(1);
  });

  it("that comes twice is taken once", () => {
    const s = scene();
    load(s, s.b);
    s.network.net.conditions = { delayMs: 5, duplication: 1 };
    s.a.connect(s.b);
    s.network.advance(100);
    expect(s.a.core.counters.handshakeCookieTaken).toBe(1);
    expect(s.a.core.counters.handshakeCookieBad).toBeGreaterThan(0);
    expect(s.a.core.peer(s.b.nodeId)?.session?.id).toBe(s.b.core.peer(s.a.nodeId)?.session?.id);
  });

  it("is taken three times a try at most", () => {
    const s = scene();
    // A peer that never accepts what it has given: its own address seems to change under way.
    let port = 1;
    s.network.net.tap = (bytes, from) => {
      if (!from.equals(s.a.transport.localAddress)) return true;
      s.b.transport.deliver(bytes, SocketAddress.parse(`203.0.113.5:${port++}`));
      return false;
    };
    load(s, s.b);
    s.b.listeners.clear();
    const replies: Uint8Array[] = [];
    const { send } = s.b.transport;
    s.b.transport.send = (batch) => {
      for (let i = 0; i < batch.count; i++) {
        const bytes = (batch.bytes[i] as Uint8Array).slice();
        if (isCookieReply(bytes)) replies.push(bytes);
        s.a.transport.deliver(bytes, s.b.transport.localAddress);
      }
      return batch.count;
    };
    dial(s, s.a, s.b);
    for (let i = 0; i < 40; i++) {
      s.forger.flood(s.b, 20, 1, () => s.forger.member(s.b));
    }
    s.b.transport.send = send;
    expect(s.a.core.counters.handshakeCookieTaken).toBe(3);
  });
});

describe("a relay in between", () => {
  function behind(count: number): Scene & { relay: TestNode; others: TestNode[] } {
    const network = createTestNetwork(count + 3, { conditions: { delayMs: 5 } });
    const [a, b, relay, ...others] = network.nodes as [TestNode, TestNode, TestNode];
    for (const node of [a, b, ...others]) node.connect(relay);
    return { network, a, b, relay, others, forger: new Forger(network) };
  }

  it("carries the cookie back", () => {
    const s = behind(0);
    load(s, s.b);
    const connected = dial(s, s.a, s.b, s.relay);
    s.network.advance(100);
    expect(connected()).toBeDefined();
    expect(s.a.core.counters.handshakeCookieTaken).toBe(1);
    expect(s.relay.core.counters.handshakeCookieBad).toBe(0);
  });

  it("shares no budget between the nodes behind it", () => {
    const s = behind(1);
    const { network, a, b, relay, forger, others } = s;
    const [greedy] = others as [TestNode];
    const flood = () => {
      for (let i = 0; i < 5; i++) {
        greedy.transport.send(one(forger.member(b, greedy.nodeId), relay.transport.localAddress));
        greedy.transport.send(one(forger.outsider(b, false, greedy.nodeId), relay.transport.localAddress));
      }
      network.advance(10);
    };
    for (let i = 0; i < 100; i++) flood();
    expect(b.core.counters.handshakePaced).toBeGreaterThan(100);
    const connected = dial(s, a, b, relay);
    for (let i = 0; i < 10; i++) flood();
    expect(connected()).toBeDefined();
    const reference = network.add({ features: 0 });
    reference.connect(relay);
    const alsoConnected = dial(s, reference, b, relay);
    for (let i = 0; i < 10; i++) flood();
    expect(alsoConnected()).toBeDefined();
  });
});

describe("the work of handshakes", () => {
  it("waits for the data of its batch, and is done two messages at a time", () => {
    const { network, a, b } = pair();
    const fresh = range(10).map(() => network.add());
    const batch = new DatagramBatch();
    const messages: Uint8Array[] = [];
    network.net.tap = (bytes, from) => {
      if (isRoutedHandshake(bytes)) batch.push(bytes.slice(), from);
      else messages.push(bytes.slice());
      return false;
    };
    for (const node of fresh) {
      node.call((core) => core.connect(b.nodeId, b.keys.publicKey, b.transport.localAddress, "routed"));
    }
    new Sending(a, b, 7n, {}).write(...numbered(1));
    network.advance(1);
    batch.push(messages[0] as Uint8Array, a.transport.localAddress);
    expect(batch.count).toBe(11);
    const before = b.core.counters.handshakesCompleted;
    const completedAtData: number[] = [];
    const sink = {
      send: (out: DatagramBatch) => out.count,
      event: (event: { type: string }) => {
        if (event.type === "data") completedAtData.push(b.core.counters.handshakesCompleted - before);
      },
    };
    b.core.receive(batch);
    const steps: number[] = [];
    let deadline = b.core.drain(sink);
    steps.push(b.core.counters.handshakesCompleted - before);
    while (deadline <= network.clock.now()) {
      b.core.wake();
      deadline = b.core.drain(sink);
      steps.push(b.core.counters.handshakesCompleted - before);
    }
    expect(completedAtData).toEqual([0]);
    expect(steps).toEqual([2, 4, 6, 8, 10]);
  });

  it("is turned away when 64 messages of a kind wait already", () => {
    const s = scene();
    const batch = new DatagramBatch();
    for (let i = 0; i < 100; i++) batch.push(s.forger.outsider(s.b, false), s.forger.source());
    s.b.core.receive(batch);
    expect(s.b.core.counters.handshakeQueueFull).toBe(36);
    s.b.node.touch();
    s.network.advance(100);
    expect(s.b.core.counters.handshakeBad).toBe(64);
  });

  it("ends with the node", () => {
    const s = scene();
    const batch = new DatagramBatch();
    for (let i = 0; i < 10; i++) batch.push(s.forger.outsider(s.b, false), s.forger.source());
    s.b.core.receive(batch);
    s.b.call((core) => core.close());
    s.network.advance(100);
    expect(s.b.core.counters.handshakeBad).toBe(0);
    expect(codeOf(() => s.b.core.connect(1n, s.a.keys.publicKey, s.a.transport.localAddress, "routed"))).toBe(
      "shutdown",
    );
  });

  it("does not stand in the way of a transfer", () => {
    const { network, a, b } = pair({ conditions: { delayMs: 5 } });
    const forger = new Forger(network);
    const to = new Receiving(b, a, 7n, RELIABLE);
    const from = new Sending(a, b, 7n, RELIABLE).write(...numbered(500, 1_000)).finish();
    forger.flood(b, 1_000, 10, (i) => (i % 3 === 0 ? forger.member(b) : forger.outsider(b, true)));
    until(network, () => to.ends > 0);
    expect(to.numbers).toEqual(range(500));
    expect(from.failure).toBeUndefined();
  });
});

function one(bytes: Uint8Array, to: SocketAddress): DatagramBatch {
  const batch = new DatagramBatch();
  batch.push(bytes, to);
  return batch;
}
