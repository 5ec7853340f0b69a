import { describe, expect, it } from "vitest";
import { MAX_STREAM_RECORDS, RoutingTable, StreamAccounting } from "../src/index.ts";

describe("stream accounting", () => {
  it("counts packets and bytes per stream and sums over all of them", () => {
    const table = new RoutingTable(1n);
    table.streams.recordIn(1, 0, 100, 5);
    table.streams.recordIn(1, 0, 50, 6);
    table.streams.recordOut(1, 0, 150, 7);
    table.streams.recordDrop(1, 0, 8);
    table.streams.recordIn(1, 1, 7, 9);
    expect(table.streams.getStreamStats(1n, 0)).toEqual({
      packetsIn: 2,
      bytesIn: 150,
      packetsOut: 1,
      bytesOut: 150,
      packetsDropped: 1,
      lastActivityMs: 6,
    });
    expect(table.streams.streamCount).toBe(2);
    expect(table.aggregateStats()).toMatchObject({
      routes: 0,
      streams: 2,
      packetsIn: 3,
      packetsOut: 1,
      packetsDropped: 1,
    });
  });

  it("keeps a stream alive by packets in, not by packets out or drops", () => {
    const streams = new StreamAccounting();
    for (let i = 1; i <= 3; i++) streams.recordIn(i, 0, 1, 0);
    streams.recordIn(1, 0, 1, 90);
    streams.recordOut(2, 0, 1, 90);
    streams.recordDrop(3, 0, 90);
    expect(streams.cleanupIdleStreams(100, 100)).toBe(0);
    expect(streams.cleanupIdleStreams(100, 101)).toBe(2);
    expect(streams.streamCount).toBe(1);
    expect(streams.getStreamStats(1n, 0).packetsIn).toBe(2);
  });

  it("starts a record's idle time when it is created, whatever created it", () => {
    const streams = new StreamAccounting();
    streams.recordOut(1, 0, 1, 50);
    streams.recordDrop(2, 0, 50);
    streams.getStreamStats(3n, 50);
    expect(streams.cleanupIdleStreams(10, 60)).toBe(0);
    expect(streams.cleanupIdleStreams(10, 61)).toBe(3);
  });

  it("does not call a stream idle when the clock stepped back", () => {
    const streams = new StreamAccounting();
    streams.recordIn(1, 0, 1, 100);
    expect(streams.cleanupIdleStreams(0, 50)).toBe(0);
  });

  it("admits 65 536 ids, refuses the next, keeps counting known ones, admits again after a cleanup", () => {
    const streams = new StreamAccounting(99);
    for (let i = 0; i < MAX_STREAM_RECORDS; i++) streams.recordIn(i, i & 3, 1, 0);
    expect(streams.streamCount).toBe(65_536);
    streams.recordIn(0, 77, 1, 0);
    streams.recordOut(0, 77, 1, 0);
    streams.recordDrop(0, 77, 0);
    expect([streams.streamCount, streams.refused]).toEqual([65_536, 3]);
    streams.recordIn(0, 0, 1, 50);
    expect(streams.getStreamStats(0n, 0).packetsIn).toBe(2);
    expect(streams.cleanupIdleStreams(10, 50)).toBe(65_535);
    streams.recordIn(0, 77, 1, 50);
    expect(streams.streamCount).toBe(2);
  });

  it("creates a record on request even beyond the cap", () => {
    const streams = new StreamAccounting(0, 1);
    streams.recordIn(1, 0, 1, 0);
    expect(streams.getStreamStats(2n, 3)).toMatchObject({ packetsIn: 0, lastActivityMs: 3 });
    expect(streams.streamCount).toBe(2);
  });

  it("refuses limits below zero", () => {
    const invalid = expect.objectContaining({ code: "invalid-limit" });
    expect(() => new StreamAccounting(0, -1)).toThrow(invalid);
    expect(() => new StreamAccounting().cleanupIdleStreams(-1, 0)).toThrow(invalid);
  });
});
