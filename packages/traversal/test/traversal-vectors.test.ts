import {
  decodeKeepAlive,
  decodeReflex,
  decodeRendezvous,
  encodeKeepAlive,
  encodeReflex,
  encodeRendezvous,
  type RendezvousMessage,
  SocketAddress,
} from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  decodeNatPmpAnswer,
  encodeNatPmpAddressRequest,
  encodeNatPmpMapRequest,
  NatClassifier,
  NatPmpResult,
  natPmpResultName,
  natTag,
  pairAction,
} from "../src/index.ts";
import { fromBlock, toBlock } from "../src/socket-block.ts";
import vectors from "./vectors/traversal.json" with { type: "json" };

const at = (text: string) => SocketAddress.parse(text);
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const unhex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));

/** An address as the vectors have it: they keep an address mapped from IPv4 apart from that one. */
function blockOf(text: string) {
  const mapped = /^\[::ffff:([\d.]+)\]:(\d+)$/.exec(text);
  const block = toBlock(at(mapped === null ? text : `${mapped[1]}:${mapped[2]}`));
  if (block === undefined) throw new Error(text);
  if (mapped === null) return block;
  const address = new Uint8Array(16);
  address.set([0xff, 0xff, ...block.address], 10);
  return { family: 6, address, port: block.port } as const;
}

describe("messages as nodes of Net send them", () => {
  it.each(vectors.reflex)("reflex: $kind $addr", ({ kind, addr, bytes }) => {
    const message =
      addr === undefined
        ? ({ type: "request" } as const)
        : ({ type: "response", address: blockOf(addr) } as const);
    expect(message.type).toBe(kind);
    expect(hex(encodeReflex(message))).toBe(bytes);
    expect(decodeReflex(unhex(bytes))).toEqual(message);
  });

  it.each(vectors.reflex_decode)("reflex, read: $name", ({ bytes, decoded }) => {
    const message = decodeReflex(unhex(bytes));
    if (decoded === null) expect(message).toBeUndefined();
    else if (message?.type === "response")
      expect(`Response(${fromBlock(message.address).key})`).toBe(decoded);
    else expect([message?.type, decoded]).toEqual(["request", "Request"]);
  });

  it.each(vectors.rendezvous)("rendezvous: $bytes", ({ message, bytes }) => {
    const expected = rendezvousOf(message);
    expect(hex(encodeRendezvous(expected))).toBe(bytes);
    expect(decodeRendezvous(unhex(bytes))).toEqual(expected);
  });

  it.each(vectors.rendezvous_decode)("rendezvous, read: $bytes", ({ bytes, accepted }) => {
    expect(decodeRendezvous(unhex(bytes)) !== undefined).toBe(accepted);
  });

  it.each(vectors.keepalive)("keep-alive: $bytes", ({ sender_node_id, punch_id, bytes }) => {
    const keepAlive = { nodeId: BigInt(sender_node_id), punchId: punch_id };
    expect(hex(encodeKeepAlive(keepAlive))).toBe(bytes);
    expect(decodeKeepAlive(unhex(bytes))).toEqual(keepAlive);
  });

  it.each(vectors.keepalive_decode)("keep-alive, read: $bytes", ({ bytes, accepted }) => {
    expect(decodeKeepAlive(unhex(bytes)) !== undefined).toBe(accepted);
  });
});

describe("NAT-PMP as nodes of Net speak it", () => {
  it.each(vectors.natpmp_request)("request: $bytes", ({ request, bytes }) => {
    const encoded =
      typeof request === "string"
        ? encodeNatPmpAddressRequest()
        : encodeNatPmpMapRequest(request.internal_port, request.external_port_hint, request.lifetime);
    expect(hex(encoded)).toBe(bytes);
  });

  it.each(vectors.natpmp_response_decode)("answer: $name", ({ bytes, decoded }) => {
    expect(described(unhex(bytes))).toBe(decoded);
  });
});

describe("classes and pairs as nodes of Net see them", () => {
  it.each(vectors.nat_classify)("class: $name", (vector) => {
    const classifier = new NatClassifier();
    for (const [peer, seen] of vector.probes) classifier.observe(BigInt(peer as number), at(seen as string));
    const natClass = classifier.classify(at(vector.bind));
    expect([classifier.count, natClass, natTag(natClass)]).toEqual([
      vector.observations,
      vector.class.toLowerCase(),
      vector.tag,
    ]);
  });

  it.each(vectors.nat_pair_action)("pair: $local and $remote", ({ local, remote, action }) => {
    const own = { Direct: "direct", SinglePunch: "punch", SkipPunch: "skip" }[action];
    const [here, there] = [local, remote].map((name) => name.toLowerCase());
    expect(pairAction(here as "open", there as "open")).toBe(own);
  });
});

function rendezvousOf(message: (typeof vectors.rendezvous)[number]["message"]): RendezvousMessage {
  switch (message.type) {
    case "PunchRequest":
      return {
        type: "punch-request",
        target: BigInt(message.target as string),
        reflex: blockOf(message.self_reflex as string),
      };
    case "PunchIntroduce":
      return {
        type: "punch-introduce",
        peer: BigInt(message.peer as string),
        reflex: blockOf(message.peer_reflex as string),
        fireAtMs: BigInt(message.fire_at_ms as string),
      };
    default:
      return {
        type: "punch-ack",
        from: BigInt(message.from_peer as string),
        to: BigInt(message.to_peer as string),
        punchId: message.punch_id as number,
      };
  }
}

/** An answer in the words of the vectors. */
function described(bytes: Uint8Array): string | null {
  const answer = decodeNatPmpAnswer(bytes);
  if (answer === undefined || answer.kind === "error") return null;
  const name = natPmpResultName(answer.result)
    .split("-")
    .map((word) => word.slice(0, 1).toUpperCase() + word.slice(1))
    .join("");
  const isKnown = Object.values<number>(NatPmpResult).includes(answer.result);
  const head = `result: ${isKnown ? name : `Unknown(${answer.result})`}, epoch_seconds: ${answer.epochSeconds}`;
  return answer.kind === "address"
    ? `ExternalAddress { ${head}, external_ip: ${answer.externalHost} }`
    : `MapUdp { ${head}, internal_port: ${answer.internalPort}, mapped_port: ${answer.mappedPort}, lifetime: ${answer.lifetimeSeconds} }`;
}
