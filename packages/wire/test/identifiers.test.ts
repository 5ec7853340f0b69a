import { describe, expect, test } from "vitest";
import {
  assertChannelName,
  channelDepth,
  channelHash,
  channelWireHash,
  isChannelName,
  isChannelPrefix,
  isUndiscoverable,
  publishStreamId,
  shardOfBytes,
  shardOfStream,
  streamIdFromKey,
  xxh3,
} from "../src/index.ts";
import { pattern } from "./hex.ts";
import channels from "./vectors/channel.json" with { type: "json" };
import vectors from "./vectors/xxh3.json" with { type: "json" };

const utf8 = new TextEncoder();

describe("XXH3-64", () => {
  test("every length of the vectors hashes as in the reference", () => {
    for (const { len, pattern_seed, xxh3_64 } of vectors.xxh3_64) {
      expect(`${xxh3(pattern(len, pattern_seed))}`, `${len} bytes`).toBe(xxh3_64);
    }
  });
});

describe("stream ids", () => {
  test("keys give the reference's stream ids and shards", () => {
    for (const { key, stream_id_from_key, route_to_shard } of vectors.stream_id) {
      expect(`${streamIdFromKey(key)}`).toBe(stream_id_from_key);
      for (const [count, shard] of Object.entries(route_to_shard)) {
        expect(shardOfBytes(utf8.encode(key), Number(count))).toBe(shard);
      }
    }
  });

  test("8000 keys spread over 8 shards within half and twice the mean", () => {
    const counts = new Array<number>(8).fill(0);
    for (let i = 0; i < 8000; i++) {
      const shard = shardOfBytes(utf8.encode(`key:${i}`), 8);
      counts[shard] = (counts[shard] ?? 0) + 1;
    }
    for (const count of counts) {
      expect(count).toBeGreaterThan(500);
      expect(count).toBeLessThan(2000);
    }
  });

  test("hashing to no shards or to half a shard is refused", () => {
    for (const count of [0, -1, 0.5, Number.NaN]) {
      expect(() => shardOfBytes(utf8.encode("a"), count)).toThrow(
        expect.objectContaining({ code: "invalid-argument" }),
      );
    }
  });

  test("an inbound stream takes the whole id modulo the shards", () => {
    expect(shardOfStream(0xffff_ffff_ffff_ffffn, 8)).toBe(7);
    expect(shardOfStream(0x1_0000n + 1n, 3)).toBe(2);
    expect(shardOfStream(12n, 0)).toBe(0);
    expect(() => shardOfStream(-1n, 8)).toThrow("non-negative");
  });
});

describe("channel names", () => {
  test("the reference's verdicts on names hold", () => {
    for (const { name, accepted } of channels.name_validation)
      expect(isChannelName(name), name).toBe(accepted);
  });

  test("255 bytes are a name, 256 are not", () => {
    expect(isChannelName("x".repeat(255))).toBe(true);
    expect(isChannelName("x".repeat(256))).toBe(false);
  });

  test("a caller's invalid name is refused with its value", () => {
    expect(() => assertChannelName("A")).toThrow(
      expect.objectContaining({ code: "invalid-channel-name", value: "A" }),
    );
    expect(() => assertChannelName("a.b/c.d")).not.toThrow();
  });

  test("prefixes match whole segments", () => {
    for (const { prefix, name, is_prefix_of } of channels.is_prefix_of) {
      expect(isChannelPrefix(prefix, name), `${prefix} of ${name}`).toBe(is_prefix_of);
    }
  });

  test("names give the reference's hashes, publish streams and depths", () => {
    for (const vector of vectors.channel_hash) {
      const hash = channelHash(vector.name);
      expect(`${hash}`).toBe(vector.hash);
      expect(channelWireHash(hash)).toBe(vector.wire_hash);
      expect(`${publishStreamId(hash)}`).toBe(vector.publish_stream_id);
      expect(channelDepth(vector.name)).toBe(vector.depth);
    }
  });
});

describe("node ids", () => {
  test("an id whose pingwaves look like packets is known as undiscoverable", () => {
    expect(isUndiscoverable(0x1234_0000_0000_4e45n)).toBe(true);
    expect(isUndiscoverable(0x4e45_0000_0000_0000n)).toBe(false);
  });
});
