import { describe, expect, test } from "vitest";
import * as wire from "../src/index.ts";
import { hex, unhex } from "./hex.ts";
import vectors from "./vectors/wire.json" with { type: "json" };

interface VectorHeader {
  version: number;
  flags: number;
  priority: number;
  hop_ttl: number;
  hop_count: number;
  frag_flags: number;
  subprotocol_id: number;
  channel_hash: number;
  nonce: string;
  session_id: string;
  stream_id: string;
  sequence: string;
  origin_hash: string;
  subnet_id: number;
  fragment_id: number;
  fragment_offset: number;
  payload_len: number;
  event_count: number;
}

function headerFields(fields: VectorHeader): wire.HeaderFields {
  const nonce = unhex(fields.nonce);
  return {
    version: fields.version,
    flags: fields.flags,
    priority: fields.priority,
    hopTtl: fields.hop_ttl,
    hopCount: fields.hop_count,
    fragFlags: fields.frag_flags,
    subprotocolId: fields.subprotocol_id,
    channelHash: fields.channel_hash,
    fragmentId: fields.fragment_id,
    fragmentOffset: fields.fragment_offset,
    payloadLength: fields.payload_len,
    eventCount: fields.event_count,
    noncePrefix: wire.readU32(nonce, 0),
    subnetId: fields.subnet_id,
    counter: wire.readU64(nonce, 4),
    sessionId: BigInt(fields.session_id),
    streamId: BigInt(fields.stream_id),
    sequence: BigInt(fields.sequence),
    originHash: BigInt(fields.origin_hash),
  };
}

describe("the reference's vectors of the fixed codecs", () => {
  test("the constants are the same", () => {
    const { CONTROL_STREAM_ID, ENHANCED_PINGWAVE_SIZE, PINGWAVE_SIZE, PAYLOAD_LEN_OFFSET, ...same } =
      vectors.constants;
    expect(wire).toMatchObject(same);
    expect(wire.CONTROL_STREAM_ID).toBe(BigInt(CONTROL_STREAM_ID));
    expect(wire.PINGWAVE_SIZE).toBe(ENHANCED_PINGWAVE_SIZE);
    expect(wire.BASIC_PINGWAVE_SIZE).toBe(PINGWAVE_SIZE);
    expect(wire.HeaderOffset.PAYLOAD_LENGTH).toBe(PAYLOAD_LEN_OFFSET);
  });

  test("the subprotocol ids are the same", () => {
    const ours = new Set<number>(Object.values(wire.Subprotocol));
    for (const [name, id] of Object.entries(vectors.subprotocol_ids)) expect(ours.has(id), name).toBe(true);
    expect(ours.size).toBe(Object.keys(vectors.subprotocol_ids).length + 1);
  });

  test("headers encode to the same bytes and the same authenticated data", () => {
    for (const { name, fields, bytes, aad } of vectors.net_header) {
      const encoded = wire.encodeHeader(headerFields(fields));
      expect(hex(encoded), name).toBe(bytes);
      const ours = new Uint8Array(wire.AAD_SIZE);
      wire.writeAad(ours, 0, encoded, 0);
      expect(hex(ours), name).toBe(aad);
    }
  });

  test("headers decode to the same fields with the same verdicts", () => {
    for (const vector of vectors.net_header_decode) {
      const bytes = unhex(vector.bytes);
      const parsed = vector.parsed as VectorHeader | null;
      expect(wire.decodeHeader(bytes), vector.name).toEqual(
        parsed === null ? undefined : headerFields(parsed),
      );
      const isAccepted = wire.validateHeader(bytes, 0, bytes.length) === wire.HeaderVerdict.OK;
      expect(isAccepted, vector.name).toBe(vector.packet_accepted);
      if (!isAccepted) continue;
      expect(wire.isValidLength(bytes, 0, bytes.length), vector.name).toBe(vector.packet_is_valid_length);
    }
  });

  test("flags answer the same questions", () => {
    const { hasFlags, PacketFlags, withFlags, withoutFlags } = wire;
    for (const vector of vectors.packet_flags) {
      expect({
        bits: vector.bits,
        is_handshake: hasFlags(vector.bits, PacketFlags.HANDSHAKE),
        is_heartbeat: hasFlags(vector.bits, PacketFlags.HEARTBEAT),
        is_reliable: hasFlags(vector.bits, PacketFlags.RELIABLE),
        is_nack: hasFlags(vector.bits, PacketFlags.NACK),
        contains_priority: hasFlags(vector.bits, PacketFlags.PRIORITY),
        contains_fin: hasFlags(vector.bits, PacketFlags.FIN),
        with_fin: withFlags(vector.bits, PacketFlags.FIN),
        without_reliable: withoutFlags(vector.bits, PacketFlags.RELIABLE),
      }).toEqual(vector);
    }
  });

  test("event frames encode to the same bytes", () => {
    for (const { name, events, calculate_size, written, bytes } of vectors.event_frame_write) {
      const inputs = events.map(unhex);
      expect(wire.eventFramesSize(inputs), name).toBe(calculate_size);
      const encoded = wire.encodeEventFrames(inputs);
      expect(encoded.length, name).toBe(written);
      expect(hex(encoded), name).toBe(bytes);
    }
  });

  test("event frames decode to the same events", () => {
    for (const { name, bytes, count, events } of vectors.event_frame_read) {
      expect(wire.decodeEventFrames(unhex(bytes), count).map(hex), name).toEqual(events);
    }
  });

  test("NACKs have the same bytes and list the same sequences", () => {
    for (const vector of vectors.nack_payload) {
      const nack = {
        nextExpected: BigInt(vector.next_expected),
        missingBitmap: BigInt(vector.missing_bitmap),
      };
      expect(hex(wire.encodeNack(nack))).toBe(vector.bytes);
      expect(wire.decodeNack(unhex(vector.bytes))).toEqual(nack);
      expect(wire.missingSequences(nack).map(String)).toEqual(vector.missing_sequences);
    }
    for (const { bytes, parsed } of vectors.nack_payload_decode) {
      const decoded = wire.decodeNack(unhex(bytes));
      expect(
        decoded && { next_expected: `${decoded.nextExpected}`, missing_bitmap: `${decoded.missingBitmap}` },
      ).toEqual(
        parsed === null
          ? undefined
          : { next_expected: parsed.next_expected, missing_bitmap: parsed.missing_bitmap },
      );
    }
  });

  test("compact pingwaves encode, decode and forward alike", () => {
    for (const vector of vectors.pingwave) {
      const pingwave = {
        origin: BigInt(vector.origin_id),
        sequence: BigInt(vector.seq),
        ttl: vector.ttl,
        hopCount: vector.hop_count,
      };
      expect(hex(wire.encodeBasicPingwave(pingwave))).toBe(vector.bytes);
      const forwarded = wire.forwardBasicPingwave(pingwave);
      expect(forwarded !== undefined).toBe(vector.forward_returned);
      expect((forwarded ?? pingwave).ttl).toBe(vector.forward_ttl);
      expect((forwarded ?? pingwave).hopCount).toBe(vector.forward_hop_count);
    }
    for (const { bytes, reencoded } of vectors.pingwave_decode) {
      const decoded = wire.decodeBasicPingwave(unhex(bytes));
      expect(decoded ? hex(wire.encodeBasicPingwave(decoded)) : null).toBe(reencoded);
    }
  });

  test("pingwaves encode, decode and forward alike", () => {
    for (const vector of vectors.enhanced_pingwave) {
      const pingwave = pingwaveFields(vector.fields);
      const bytes = wire.encodePingwave(pingwave);
      expect(hex(bytes)).toBe(vector.bytes);
      expect(wire.decodePingwave(bytes)).toEqual(pingwave);
      expect(new wire.PingwaveView().wrap(bytes).forward()).toBe(vector.forward_returned);
      expect(hex(bytes)).toBe(vector.forward_bytes);
    }
    for (const { name, bytes, parsed } of vectors.enhanced_pingwave_decode) {
      expect(wire.decodePingwave(unhex(bytes)), name).toEqual(
        parsed === null ? undefined : pingwaveFields(parsed),
      );
    }
  });

  test("node ids give the same graph and routing ids", () => {
    for (const { node_id, graph_id, routing_id } of vectors.graph_id) {
      expect(hex(wire.graphId(BigInt(node_id)))).toBe(graph_id);
      expect(wire.routingId(BigInt(node_id))).toBe(Number(routing_id));
    }
  });

  test("stream control messages encode and decode alike", () => {
    for (const vector of vectors.stream_control) {
      const streamId = BigInt(vector.stream_id);
      const second = BigInt(vector.total_consumed);
      const third = BigInt(vector.ack_seq);
      const window = { streamId, totalConsumed: second, ackSequence: third };
      const nack = { streamId, nextExpected: second, missingBitmap: third };
      expect(hex(wire.encodeStreamWindow(window))).toBe(vector.window_bytes);
      expect(hex(wire.encodeStreamNack(nack))).toBe(vector.nack_bytes);
      expect(hex(wire.encodeStreamReset({ streamId }))).toBe(vector.reset_bytes);
      expect(wire.decodeStreamWindow(unhex(vector.window_bytes))).toEqual(window);
      expect(wire.decodeStreamNack(unhex(vector.nack_bytes))).toEqual(nack);
      expect(wire.decodeStreamReset(unhex(vector.reset_bytes))).toEqual({ streamId });
    }
    for (const vector of vectors.stream_control_decode) {
      const bytes = unhex(vector.bytes);
      expect(Object.values(wire.decodeStreamWindow(bytes) ?? {}).map(String)).toEqual(
        Object.values(vector.window ?? {}),
      );
      expect(Object.values(wire.decodeStreamNack(bytes) ?? {}).map(String)).toEqual(
        Object.values(vector.nack ?? {}),
      );
      expect(Object.values(wire.decodeStreamReset(bytes) ?? {}).map(String)).toEqual(
        Object.values(vector.reset ?? {}),
      );
    }
  });

  test("manifests encode, decode and name their capabilities alike", () => {
    for (const vector of vectors.manifest) {
      const entries = manifestEntries(vector.entries);
      expect(hex(wire.encodeManifest(entries)), vector.name).toBe(vector.bytes);
      const tags = "capability_tags" in vector ? vector.capability_tags : undefined;
      if (tags) expect(entries.map((entry) => wire.subprotocolTag(entry.id))).toEqual(tags);
    }
    for (const { name, bytes, parsed } of vectors.manifest_decode) {
      expect(wire.decodeManifest(unhex(bytes)), name).toEqual(
        parsed === null ? undefined : manifestEntries(parsed),
      );
    }
  });

  test("manifests negotiate alike", () => {
    for (const vector of vectors.negotiate) {
      const local = wire.decodeManifest(unhex(vector.local)) ?? [];
      const remote = wire.decodeManifest(unhex(vector.remote)) ?? [];
      expect(wire.negotiateManifests(local, remote)).toEqual({
        compatible: vector.compatible,
        incompatible: vector.incompatible.map((conflict) => ({
          id: conflict.id,
          localVersion: conflict.local_version,
          remoteVersion: conflict.remote_version,
        })),
      });
    }
  });

  test("capability ads encode and decode alike", () => {
    for (const vector of vectors.capability_ad) {
      const capabilities = adCapabilities(vector.capabilities);
      const ad = { nodeId: BigInt(vector.node_id), version: vector.version, capabilities };
      expect(hex(wire.encodeCapabilityAd(ad))).toBe(vector.bytes);
      expect(wire.decodeCapabilityAd(unhex(vector.bytes))).toEqual({
        ...ad,
        capabilities: adCapabilities(vector.decoded_capabilities),
      });
    }
    for (const { bytes, accepted } of vectors.capability_ad_decode) {
      expect(wire.decodeCapabilityAd(unhex(bytes)) !== undefined, bytes).toBe(accepted);
    }
  });
});

type VectorPingwave = (typeof vectors.enhanced_pingwave)[number]["fields"];

function pingwaveFields(fields: VectorPingwave): wire.PingwaveFields {
  return {
    originId: unhex(fields.origin_id),
    sequence: BigInt(fields.seq),
    ttl: fields.ttl,
    hopCount: fields.hop_count,
    timestampUs: BigInt(fields.origin_timestamp_us),
    capabilityHash: BigInt(fields.capability_hash),
    capabilityVersion: fields.capability_version,
    load: fields.load_level,
    health: fields.health as wire.NodeHealth,
    hasGpu: fields.primary_caps.gpu,
    modelSlots: fields.primary_caps.model_slots,
    memoryTier: fields.primary_caps.memory_tier,
    tools: fields.primary_caps.tools_bitmap,
    capabilityFlags: fields.primary_caps.flags,
  };
}

function manifestEntries(
  entries: { id: number; version: number[]; min_compatible: number[] }[],
): wire.ManifestEntry[] {
  return entries.map(({ id, version, min_compatible }) => ({
    id,
    version: version as [number, number],
    minCompatible: min_compatible as [number, number],
  }));
}

function adCapabilities(vector: (typeof vectors.capability_ad)[number]["capabilities"]): wire.AdCapabilities {
  return {
    hasGpu: vector.gpu,
    memoryGb: vector.memory_gb,
    modelSlots: vector.model_slots,
    tools: vector.tools,
    tags: vector.tags,
  };
}
