import { describe, expect, test } from "vitest";
import {
  decodeNodeLookup,
  encodeNodeLookup,
  NODE_LOOKUP_SIZE,
  type NodeLookup,
  NodeLookupKind,
  nodeLookupSignedBytes,
  WireError,
} from "../src/index.ts";

const REQUEST: NodeLookup = {
  kind: NodeLookupKind.REQUEST,
  ttl: 5,
  hops: 3,
  isDirected: true,
  id: 0xfedc_ba98,
  timeSeconds: 1_790_000_000,
  originId: 0x1122_3344_5566_7788n,
  targetId: 0xffff_ffff_ffff_fffen,
  entityId: new Uint8Array(32).fill(7),
  signature: new Uint8Array(64).fill(9),
};

describe("a lookup of a node", () => {
  test("survives the round trip in either direction", () => {
    for (const kind of [NodeLookupKind.REQUEST, NodeLookupKind.ANSWER]) {
      for (const isDirected of [true, false]) {
        const bytes = encodeNodeLookup({ ...REQUEST, kind, isDirected });
        expect(bytes).toHaveLength(NODE_LOOKUP_SIZE);
        expect([...bytes.subarray(0, 8)]).toEqual([kind, 5, 3, Number(isDirected), 0x98, 0xba, 0xdc, 0xfe]);
        expect(decodeNodeLookup(bytes)).toEqual({ ...REQUEST, kind, isDirected });
      }
    }
  });

  test("is taken without flags that are not known", () => {
    const bytes = encodeNodeLookup(REQUEST);
    bytes[3] = 0xff;
    expect(decodeNodeLookup(bytes)).toEqual(REQUEST);
  });

  test("of another length or kind is none", () => {
    const bytes = encodeNodeLookup(REQUEST);
    for (const length of [0, 1, NODE_LOOKUP_SIZE - 1]) {
      expect(decodeNodeLookup(bytes.subarray(0, length))).toBeUndefined();
    }
    expect(decodeNodeLookup(new Uint8Array([...bytes, 0]))).toBeUndefined();
    bytes[0] = 10;
    expect(decodeNodeLookup(bytes)).toBeUndefined();
  });

  test("has numbers that fit their fields, and keys and signatures of their sizes", () => {
    const wrong: Partial<NodeLookup>[] = [
      { ttl: 256 },
      { hops: -1 },
      { id: 2 ** 32 },
      { timeSeconds: -1 },
      { originId: -1n },
      { targetId: 1n << 64n },
      { entityId: new Uint8Array(31) },
      { signature: new Uint8Array(65) },
    ];
    for (const fields of wrong) {
      expect(() => encodeNodeLookup({ ...REQUEST, ...fields })).toThrow(WireError);
    }
  });

  test("is signed with everything but what changes on the way", () => {
    const { kind, id, timeSeconds, originId, targetId } = REQUEST;
    const signed = nodeLookupSignedBytes(kind, id, timeSeconds, originId, targetId);
    const others = [
      nodeLookupSignedBytes(NodeLookupKind.ANSWER, id, timeSeconds, originId, targetId),
      nodeLookupSignedBytes(kind, id + 1, timeSeconds, originId, targetId),
      nodeLookupSignedBytes(kind, id, timeSeconds + 1, originId, targetId),
      nodeLookupSignedBytes(kind, id, timeSeconds, originId + 1n, targetId),
      nodeLookupSignedBytes(kind, id, timeSeconds, originId, targetId - 1n),
    ];
    expect(new TextDecoder().decode(signed.subarray(0, 17))).toBe("netmesh-lookup-v1");
    for (const other of others) expect(other).not.toEqual(signed);
  });
});
