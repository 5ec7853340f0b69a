import { describe, expect, test } from "vitest";
import * as wire from "../src/index.ts";
import { unhex } from "./hex.ts";
import channels from "./vectors/channel.json" with { type: "json" };
import replication from "./vectors/replication.json" with { type: "json" };
import traversal from "./vectors/traversal.json" with { type: "json" };
import vectors from "./vectors/wire.json" with { type: "json" };
import { xorshift } from "./xorshift.ts";

const INPUTS = 100_000;
const ARENA = new Uint8Array(16_384);

type Decoder = (bytes: Uint8Array, random: number) => unknown;
type Vector = { readonly bytes: string };

const seeds = (...groups: readonly (readonly Vector[])[]) => groups.flat().map(({ bytes }) => unhex(bytes));

const view = new wire.PingwaveView();
const window = new wire.NetHeader();
const aad = new Uint8Array(wire.AAD_SIZE);
const reader = new wire.EventFrameReader();

const CONTROL = vectors.stream_control.map(({ window_bytes }) => unhex(window_bytes));

/** Every public function that takes bytes from the network, with valid inputs to damage. */
const DECODERS: Record<string, [Decoder, Uint8Array[]]> = {
  classifyDatagram: [
    (bytes) => wire.classifyDatagram(bytes),
    seeds(vectors.net_header, vectors.enhanced_pingwave),
  ],
  decodeHeader: [(bytes) => wire.decodeHeader(bytes), seeds(vectors.net_header)],
  "validateHeader and NetHeader": [
    (bytes) => {
      wire.validateHeader(bytes, 0, bytes.length);
      wire.isValidLength(bytes, 0, bytes.length);
      wire.writeAad(aad, 0, bytes, 0);
      return window.wrap(bytes).streamIdHi + window.eventCount;
    },
    seeds(vectors.net_header),
  ],
  decodeEventFrames: [
    (bytes, random) => wire.decodeEventFrames(bytes, random & 0xffff),
    seeds(vectors.event_frame_write),
  ],
  EventFrameReader: [
    (bytes, random) => {
      reader.wrap(bytes, 0, bytes.length, random & 0xffff);
      while (reader.next()) if (reader.end > bytes.length) throw new Error("outside");
      return reader.short;
    },
    seeds(vectors.event_frame_write),
  ],
  decodeNack: [(bytes) => wire.decodeNack(bytes), seeds(vectors.nack_payload)],
  decodeStreamWindow: [(bytes) => wire.decodeStreamWindow(bytes), CONTROL],
  decodeStreamNack: [(bytes) => wire.decodeStreamNack(bytes), CONTROL],
  decodeStreamReset: [(bytes) => wire.decodeStreamReset(bytes), CONTROL],
  decodeRekey: [
    (bytes) => wire.decodeRekey(bytes),
    [
      wire.encodeRekey({ kind: wire.RekeyKind.PROPOSE, epoch: 1, publicKey: new Uint8Array(32) }),
      wire.encodeRekey({ kind: wire.RekeyKind.REQUEST, epoch: 1 }),
    ],
  ],
  decodePathProbe: [
    (bytes) => wire.decodePathProbe(bytes),
    [wire.encodePathProbe(1, 1_200, false), wire.encodePathProbeAnswer(2, 1_472)],
  ],
  decodePacketPart: [
    (bytes) => wire.decodePacketPart(bytes),
    [
      wire.encodePacketPart(
        { streamIdLo: 1, streamIdHi: 0, sequenceLo: 2, sequenceHi: 0, flags: 1, eventCount: 3 },
        new Uint8Array(1_100),
        1,
      ),
    ],
  ],
  decodeHandshakePayload: [
    (bytes) => wire.decodeHandshakePayload(bytes),
    [wire.encodeHandshakePayload({ nodeId: 1n, features: 7 })],
  ],
  decodeMembership: [
    (bytes) => wire.decodeMembership(bytes),
    [
      ...seeds(channels.membership),
      wire.encodeMembership({ type: "position-request", nonce: 1n, channel: "a" }),
      wire.encodeMembership({ type: "position", nonce: 1n, sequence: 2, position: 3n }),
    ],
  ],
  decodeReflex: [(bytes) => wire.decodeReflex(bytes), seeds(traversal.reflex)],
  readAddressBlock: [(bytes, random) => wire.readAddressBlock(bytes, random & 3), seeds(traversal.reflex)],
  decodeRendezvous: [(bytes) => wire.decodeRendezvous(bytes), seeds(traversal.rendezvous)],
  decodeKeepAlive: [(bytes) => wire.decodeKeepAlive(bytes), seeds(traversal.keepalive)],
  decodePingwave: [(bytes) => wire.decodePingwave(bytes), seeds(vectors.enhanced_pingwave)],
  PingwaveView: [
    (bytes) => wire.isPingwave(bytes) && view.wrap(bytes).forward(),
    seeds(vectors.enhanced_pingwave),
  ],
  decodeBasicPingwave: [(bytes) => wire.decodeBasicPingwave(bytes), seeds(vectors.pingwave)],
  decodeManifest: [(bytes) => wire.decodeManifest(bytes), seeds(vectors.manifest)],
  decodeCapabilityAd: [(bytes) => wire.decodeCapabilityAd(bytes), seeds(vectors.capability_ad)],
  decodeLogMessage: [(bytes) => wire.decodeLogMessage(bytes), seeds(replication.redex_replication)],
  decodeTransferHeader: [
    (bytes) => wire.decodeTransferHeader(bytes),
    [wire.encodeTransferHeader({ found: true, totalLength: 16_000_000 })],
  ],
  decodeTransferRequest: [
    (bytes) => wire.decodeTransferRequest(bytes),
    [wire.encodeTransferRequest(new Uint8Array(32))],
  ],
};

/** A random or a damaged input in the arena: up to four changed bytes, and in one of four cases another length. */
function hostileInput(next: () => number, valid: readonly Uint8Array[]): Uint8Array {
  const choice = next();
  if ((choice & 3) === 0) {
    const length = next() % 96;
    for (let i = 0; i < length; i++) ARENA[i] = next();
    return ARENA.subarray(0, length);
  }
  const seed = valid[next() % valid.length] as Uint8Array;
  ARENA.set(seed);
  let { length } = seed;
  if ((choice & 12) === 0) length = next() % (length + 8);
  for (let i = (choice >>> 8) & 3; i >= 0; i--)
    ARENA[next() % (length + 1)] = next() & (choice & 16 ? 0xff : 3);
  return ARENA.subarray(0, length);
}

describe("hostile bytes", () => {
  for (const [name, [decode, valid]] of Object.entries(DECODERS)) {
    test(`${name} survives ${INPUTS} random and damaged inputs`, () => {
      const next = xorshift(0x9e3779b9);
      for (let i = 0; i < INPUTS; i++) decode(hostileInput(next, valid), next());
      expect(valid.length).toBeGreaterThan(0);
    });
  }

  test("every prefix of every valid input is survived", () => {
    for (const [decode, valid] of Object.values(DECODERS)) {
      for (const seed of valid) {
        for (let end = 0; end <= Math.min(seed.length, 300); end++) {
          expect(() => decode(seed.subarray(0, end), 0xffff)).not.toThrow();
        }
      }
    }
  });
});
