import { describe, expect, test } from "vitest";
import {
  type AddressBlock,
  decodeKeepAlive,
  decodeMembership,
  decodeReflex,
  decodeRendezvous,
  encodeKeepAlive,
  encodeMembership,
  encodeReflex,
  encodeRendezvous,
  type MembershipMessage,
  MembershipReason,
  type RendezvousMessage,
  readAddressBlock,
  writeAddressBlock,
} from "../src/index.ts";
import { hex, unhex } from "./hex.ts";
import channels from "./vectors/channel.json" with { type: "json" };
import traversal from "./vectors/traversal.json" with { type: "json" };

const REASONS = ["Unauthorized", "UnknownChannel", "RateLimited", "TooManyChannels"];

interface VectorMembership {
  type: string;
  nonce: string;
  channel?: string;
  token?: string | null;
  queue_group?: string | null;
  accepted?: boolean;
  reason?: string | null;
}

function membership(vector: VectorMembership): MembershipMessage {
  const nonce = BigInt(vector.nonce);
  if (vector.type === "ack") {
    const reason = (vector.reason ? REASONS.indexOf(vector.reason) + 1 : 0) as MembershipReason;
    return { type: "ack", nonce, accepted: vector.accepted === true, reason };
  }
  const channel = vector.channel as string;
  if (vector.type === "unsubscribe") return { type: "unsubscribe", nonce, channel };
  return {
    type: "subscribe",
    nonce,
    channel,
    ...(vector.token ? { token: unhex(vector.token) } : {}),
    ...(vector.queue_group ? { queueGroup: vector.queue_group } : {}),
  };
}

describe("channel membership", () => {
  test("messages have the reference's bytes in both directions", () => {
    for (const { message, bytes } of channels.membership) {
      expect(hex(encodeMembership(membership(message)))).toBe(bytes);
      expect(decodeMembership(unhex(bytes))).toEqual(membership(message));
    }
  });

  test("the decoder gives the reference's verdict on damaged messages", () => {
    for (const { name, bytes, decoded } of channels.membership_decode) {
      const expected = decoded === null ? undefined : membership(decoded as VectorMembership);
      expect(decodeMembership(unhex(bytes)), name).toEqual(expected);
    }
  });

  test("a zero group length means no group, and a group that is not UTF-8 is refused", () => {
    const nonce = "0500000000000000";
    expect(decodeMembership(unhex(`00${nonce}026162000000`))).toEqual({
      type: "subscribe",
      nonce: 5n,
      channel: "ab",
    });
    expect(decodeMembership(unhex(`00${nonce}026162000001ff`))).toBeUndefined();
    expect(decodeMembership(unhex(`01${nonce}0261`))).toBeUndefined();
  });

  test("the encoder refuses what no decoder would take", () => {
    const subscribe = { type: "subscribe", nonce: 1n, channel: "a" } as const;
    const refused: [MembershipMessage, string][] = [
      [{ ...subscribe, nonce: -1n }, "invalid-argument"],
      [{ ...subscribe, channel: "A" }, "invalid-channel-name"],
      [{ ...subscribe, token: new Uint8Array(65_536) }, "message-too-large"],
      [{ ...subscribe, queueGroup: "" }, "invalid-argument"],
      [{ ...subscribe, queueGroup: "é".repeat(128) }, "invalid-argument"],
      [{ type: "ack", nonce: 1n, accepted: true, reason: 5 as MembershipReason }, "invalid-argument"],
    ];
    for (const [message, code] of refused) {
      expect(() => encodeMembership(message)).toThrow(expect.objectContaining({ name: "WireError", code }));
    }
  });

  test("the question how far a channel is, and its answer, come through as they were", () => {
    const question = { type: "position-request", nonce: 5n, channel: "ab" } as const;
    expect(hex(encodeMembership(question))).toBe("800500000000000000026162");
    expect(decodeMembership(encodeMembership(question))).toEqual(question);
    const answer = { type: "position", nonce: 5n, sequence: 258, position: 2n ** 64n - 1n } as const;
    expect(hex(encodeMembership(answer))).toBe("8105000000000000000201000000000000ffffffffffffffff");
    expect(decodeMembership(encodeMembership(answer))).toEqual(answer);
  });

  test("a question or an answer that is cut, too long or beyond what a sequence can be is none", () => {
    const refused = [
      "8005000000000000000261",
      "80050000000000000002616200",
      "800500000000000000024142",
      "8105000000000000000201000000000000ffffffffffffff",
      "8105000000000000000201000000000000ffffffffffffffff00",
      "8105000000000000000000000000002000ffffffffffffffff",
    ];
    for (const bytes of refused) expect(decodeMembership(unhex(bytes)), bytes).toBeUndefined();
    const answer = { type: "position", nonce: 5n, sequence: 0, position: 0n } as const;
    for (const wrong of [{ sequence: -1 }, { sequence: 2 ** 53 }, { position: 2n ** 64n }]) {
      expect(() => encodeMembership({ ...answer, ...wrong })).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });

  test("the largest token and group fit", () => {
    const message = {
      type: "subscribe",
      nonce: 1n,
      channel: "a",
      token: new Uint8Array(65_535).fill(7),
      queueGroup: "g".repeat(255),
    } as const;
    expect(decodeMembership(encodeMembership(message))).toEqual(message);
    expect(MembershipReason.OK).toBe(0);
  });
});

/** The address of a vector, `1.2.3.4:5` or `[a:b::c]:5`. */
function address(text: string): AddressBlock {
  const colon = text.lastIndexOf(":");
  const port = Number(text.slice(colon + 1));
  const host = text.slice(0, colon);
  if (!host.startsWith("[")) return { family: 4, address: Uint8Array.from(host.split("."), Number), port };
  const [head = "", tail = ""] = host.slice(1, -1).replace("1.2.3.4", "102:304").split("::");
  const words = (part: string) =>
    part === "" ? [] : part.split(":").map((word) => Number.parseInt(word, 16));
  const before = words(head);
  const after = words(tail);
  const all = [...before, ...new Array<number>(8 - before.length - after.length).fill(0), ...after];
  return { family: 6, address: Uint8Array.from(all.flatMap((word) => [word >> 8, word & 0xff])), port };
}

interface VectorRendezvous {
  type: string;
  target?: string;
  self_reflex?: string;
  peer?: string;
  peer_reflex?: string;
  fire_at_ms?: string;
  from_peer?: string;
  to_peer?: string;
  punch_id?: number;
}

function rendezvous(vector: VectorRendezvous): RendezvousMessage {
  const {
    target = "0",
    peer = "0",
    self_reflex = "",
    peer_reflex = "",
    fire_at_ms = "0",
    punch_id = 0,
  } = vector;
  if (vector.type === "PunchRequest") {
    return { type: "punch-request", target: BigInt(target), reflex: address(self_reflex) };
  }
  if (vector.type === "PunchIntroduce") {
    return {
      type: "punch-introduce",
      peer: BigInt(peer),
      reflex: address(peer_reflex),
      fireAtMs: BigInt(fire_at_ms),
    };
  }
  const { from_peer = "0", to_peer = "0" } = vector;
  return { type: "punch-ack", from: BigInt(from_peer), to: BigInt(to_peer), punchId: punch_id };
}

describe("NAT traversal", () => {
  test("reflex messages have the reference's bytes in both directions", () => {
    for (const vector of traversal.reflex) {
      const message =
        vector.addr === undefined
          ? ({ type: "request" } as const)
          : ({ type: "response", address: address(vector.addr) } as const);
      expect(hex(encodeReflex(message))).toBe(vector.bytes);
      expect(decodeReflex(unhex(vector.bytes))).toEqual(message);
    }
  });

  test("reflex messages of another length or family are ignored", () => {
    for (const length of [1, 18, 20]) expect(decodeReflex(new Uint8Array(length).fill(4))).toBeUndefined();
    expect(decodeReflex(new Uint8Array(19).fill(5))).toBeUndefined();
  });

  test("rendezvous messages have the reference's bytes in both directions", () => {
    for (const { message, bytes } of traversal.rendezvous) {
      expect(hex(encodeRendezvous(rendezvous(message)))).toBe(bytes);
      expect(decodeRendezvous(unhex(bytes))).toEqual(rendezvous(message));
    }
  });

  test("rendezvous messages of another length, kind or family are ignored", () => {
    for (const { bytes } of traversal.rendezvous) {
      expect(decodeRendezvous(unhex(`${bytes}00`))).toBeUndefined();
      expect(decodeRendezvous(unhex(bytes.slice(0, -2)))).toBeUndefined();
      expect(decodeRendezvous(unhex(`04${bytes.slice(2)}`))).toBeUndefined();
    }
    expect(decodeRendezvous(unhex(`01${"00".repeat(27)}`))).toBeUndefined();
  });

  test("one to eight candidates come out as they went in, and nothing else is taken for them", () => {
    const four = { family: 4, address: Uint8Array.of(192, 168, 1, 2), port: 7_000 } as const;
    const six = { family: 6, address: new Uint8Array(16).fill(3), port: 7_000 } as const;
    for (const addresses of [[four], [six, four], Array(8).fill(four)]) {
      const bytes = encodeRendezvous({ type: "punch-candidates", addresses });
      expect(bytes.length).toBe(2 + 19 * addresses.length);
      expect(decodeRendezvous(bytes)).toEqual({ type: "punch-candidates", addresses });
      expect(decodeRendezvous(bytes.subarray(1))).toBeUndefined();
      expect(decodeRendezvous(bytes.subarray(0, -1))).toBeUndefined();
      expect(decodeRendezvous(bytes.with(2, 7))).toBeUndefined();
    }
    for (const count of [0, 9, 255]) {
      const bytes = new Uint8Array(2 + 19 * count).fill(4);
      bytes.set([5, count]);
      expect(decodeRendezvous(bytes)).toBeUndefined();
    }
    expect(decodeRendezvous(Uint8Array.of(5))).toBeUndefined();
    for (const addresses of [[], Array(9).fill(four)]) {
      expect(() => encodeRendezvous({ type: "punch-candidates", addresses })).toThrow(
        expect.objectContaining({ code: "invalid-argument", value: addresses.length }),
      );
    }
  });

  test("keep-alives have the reference's bytes in both directions", () => {
    for (const { sender_node_id, punch_id, bytes } of traversal.keepalive) {
      const keepAlive = { nodeId: BigInt(sender_node_id), punchId: punch_id };
      expect(hex(encodeKeepAlive(keepAlive))).toBe(bytes);
      expect(decodeKeepAlive(unhex(bytes))).toEqual(keepAlive);
    }
  });

  test("13 or 15 bytes and another magic are no keep-alive", () => {
    const bytes = encodeKeepAlive({ nodeId: 1n, punchId: 2 });
    expect(decodeKeepAlive(bytes.subarray(0, 13))).toBeUndefined();
    expect(decodeKeepAlive(Uint8Array.of(...bytes, 0))).toBeUndefined();
    expect(decodeKeepAlive(bytes.with(1, 0x49))).toBeUndefined();
    expect(() => encodeKeepAlive({ nodeId: 1n, punchId: 2 ** 32 })).toThrow(
      expect.objectContaining({ code: "invalid-argument", value: 2 ** 32 }),
    );
  });

  test("an inconsistent address block is refused before a byte is written", () => {
    const target = new Uint8Array(19).fill(9);
    const four = Uint8Array.of(1, 2, 3, 4);
    const bad: AddressBlock[] = [
      { family: 5 as 4, address: four, port: 1 },
      { family: 6, address: four, port: 1 },
      { family: 4, address: four, port: 65_536 },
    ];
    for (const block of bad) expect(() => writeAddressBlock(target, 0, block)).toThrow("must");
    expect(() => writeAddressBlock(target, 1, { family: 4, address: four, port: 1 })).toThrow(
      expect.objectContaining({ code: "buffer-too-small" }),
    );
    expect(target.every((byte) => byte === 9)).toBe(true);
    expect(readAddressBlock(target, 1)).toBeUndefined();
  });
});
