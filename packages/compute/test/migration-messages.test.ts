import { xxh3 } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import {
  type ChunkFault,
  type ChunkResult,
  chunkCount,
  decodeMigrationMessage,
  encodeMigrationMessage,
  type FailureReason,
  MAX_BUFFERED_PAYLOAD_SIZE,
  type MigrationMessage,
  type SnapshotReady,
  SnapshotReassembler,
  snapshotChunk,
} from "../src/index.ts";
import { codeOf } from "./support/daemons.ts";
import { compute, hex, link, pattern, toHex } from "./support/vectors.ts";

type Fields = Record<string, unknown>;

const FAILURES = [
  "not-ready",
  "factory-not-found",
  "compute-not-supported",
  "state-failed",
  "already-migrating",
  "identity-transport-failed",
  "not-ready-timeout",
] as const;

function reasonOf(fields: Fields): FailureReason {
  const kind = FAILURES[fields["code"] as number];
  if (kind === "state-failed" || kind === "identity-transport-failed") {
    return { kind, detail: fields["text"] as string };
  }
  if (kind === "not-ready-timeout") return { kind, attempts: fields["attempts"] as number };
  if (kind === undefined) throw new Error("unknown reason");
  return { kind };
}

/** A message as the vectors write it. */
function messageOf(fields: Fields): MigrationMessage {
  const u64 = (name: string): bigint => BigInt(fields[name] as string);
  const originHash = u64("daemon_origin");
  switch (fields["type"]) {
    case "TakeSnapshot":
      return { type: "take-snapshot", originHash, targetNode: u64("target_node") };
    case "SnapshotReady":
      return {
        type: "snapshot-ready",
        originHash,
        seqThrough: u64("seq_through"),
        chunkIndex: fields["chunk_index"] as number,
        totalChunks: fields["total_chunks"] as number,
        chunk: hex(fields["snapshot_bytes"] as string),
      };
    case "RestoreComplete":
      return { type: "restore-complete", originHash, restoredSeq: u64("restored_seq") };
    case "ReplayComplete":
      return {
        type: "replay-complete",
        originHash,
        replayedSeq: u64("replayed_seq"),
        targetHead: link(fields["target_head"] as string),
      };
    case "CutoverNotify":
      return { type: "cutover-notify", originHash, targetNode: u64("target_node") };
    case "CleanupComplete":
      return { type: "cleanup-complete", originHash };
    case "MigrationFailed":
      return { type: "migration-failed", originHash, reason: reasonOf(fields["reason"] as Fields) };
    case "BufferedEvents":
      return {
        type: "buffered-events",
        originHash,
        events: (fields["events"] as Fields[]).map((event) => ({
          link: link(event["link"] as string),
          payload: hex(event["payload"] as string),
          receivedAt: BigInt(event["received_at"] as string),
        })),
      };
    case "ActivateTarget":
      return { type: "activate-target", originHash };
    case "ActivateAck":
      return { type: "activate-ack", originHash, replayedSeq: u64("replayed_seq") };
    default:
      throw new Error(`unknown type ${String(fields["type"])}`);
  }
}

function chunk(fields: Partial<SnapshotReady> = {}): SnapshotReady {
  return {
    type: "snapshot-ready",
    originHash: 1n,
    seqThrough: 5n,
    chunkIndex: 0,
    totalChunks: 2,
    chunk: pattern(10, 0),
    ...fields,
  };
}

function faultOf(result: ChunkResult): ChunkFault["code"] | undefined {
  return result.kind === "refused" ? result.fault.code : undefined;
}

describe("a migration message", () => {
  it("has the bytes of the reference, both ways", () => {
    for (const vector of compute.migration_message) {
      const message = messageOf(vector.message);
      expect(toHex(encodeMigrationMessage(message))).toBe(vector.bytes);
      expect(decodeMigrationMessage(hex(vector.bytes))).toEqual(message);
    }
  });

  it("is taken or refused as by the reference, whatever the bytes", () => {
    for (const vector of compute.migration_message_decode) {
      const decoded = decodeMigrationMessage(hex(vector.bytes));
      expect(decoded !== undefined, vector.name).toBe(vector.accepted);
      if (vector.decoded !== null) expect(decoded, vector.name).toEqual(messageOf(vector.decoded as Fields));
    }
  });

  it("is refused at every truncation", () => {
    for (const vector of compute.migration_message) {
      const whole = hex(vector.bytes);
      for (let size = 0; size < whole.length; size++) {
        expect(
          decodeMigrationMessage(whole.subarray(0, size)),
          `${vector.message.type} ${size}`,
        ).toBeUndefined();
      }
    }
  });

  it("is refused when it announces more events than it can hold", () => {
    const none = encodeMigrationMessage({ type: "buffered-events", originHash: 1n, events: [] });
    expect(decodeMigrationMessage(none)).toMatchObject({ events: [] });
    const many = Uint8Array.from(none);
    many.fill(0xff, 9, 13);
    expect(decodeMigrationMessage(many)).toBeUndefined();
    const twoMillion = new Uint8Array(13 + 44 * 2_000_000);
    twoMillion.set(none);
    new DataView(twoMillion.buffer).setUint32(9, 2_000_000, true);
    expect(decodeMigrationMessage(twoMillion)).toBeUndefined();
  });

  it("refuses a text that is no UTF-8", () => {
    expect(decodeMigrationMessage(hex("0601000000000000000300 0100ff".replaceAll(" ", "")))).toBeUndefined();
  });

  it("cannot be made of parts that are too long", async () => {
    const detail = "x".repeat(65_536);
    const event = {
      link: link("00".repeat(32)),
      payload: new Uint8Array(MAX_BUFFERED_PAYLOAD_SIZE + 1),
      receivedAt: 0n,
    };
    const encode = (message: MigrationMessage) => () => encodeMigrationMessage(message);
    const failed = {
      type: "migration-failed",
      originHash: 1n,
      reason: { kind: "state-failed", detail },
    } as const;
    expect(await codeOf(encode(failed))).toBe("invalid-argument");
    const attempts = { kind: "not-ready-timeout", attempts: 256 } as const;
    expect(await codeOf(encode({ ...failed, reason: attempts }))).toBe("invalid-argument");
    expect(await codeOf(encode({ type: "buffered-events", originHash: 1n, events: [event] }))).toBe(
      "buffer-full",
    );
    expect(await codeOf(encode(chunk({ chunk: new Uint8Array(7001) })))).toBe("snapshot-too-large");
  });
});

describe("a snapshot in chunks", () => {
  it("is split as by the reference", () => {
    for (const vector of compute.chunk_snapshot) {
      const snapshot = pattern(vector.snapshot_len, vector.pattern_seed);
      expect(chunkCount(snapshot.length)).toBe(vector.chunks.length);
      vector.chunks.forEach((expected, index) => {
        const part = snapshotChunk(1n, 9n, snapshot, index);
        expect([part.chunkIndex, part.totalChunks, part.chunk.length]).toEqual([
          expected.chunk_index,
          expected.total_chunks,
          expected.len,
        ]);
        expect(xxh3(part.chunk)).toBe(BigInt(expected.xxh3));
        expect(part.seqThrough).toBe(9n);
      });
    }
  });

  it("is refused when it takes more than 700 000", async () => {
    expect(chunkCount(7000 * 700_000)).toBe(700_000);
    expect(await codeOf(() => chunkCount(7000 * 700_000 + 1))).toBe("snapshot-too-large");
  });

  it("comes together as at the reference", () => {
    const CODES: Record<string, ChunkFault["code"]> = {
      ZeroTotalChunks: "zero-total",
      TotalChunksTooLarge: "too-many-chunks",
      ChunkIndexOutOfRange: "index-out-of-range",
      ChunkTooLarge: "chunk-size",
      TotalChunksMismatch: "total-mismatch",
      StaleSeqThrough: "stale-sequence",
    };
    for (const vector of compute.snapshot_reassembler) {
      const reassembler = new SnapshotReassembler();
      let nowMs = 0;
      for (const step of vector.steps) {
        nowMs += step.advance_ms;
        const result = reassembler.feed(
          {
            type: "snapshot-ready",
            originHash: BigInt(step.daemon_origin),
            seqThrough: BigInt(step.seq_through),
            chunkIndex: step.chunk_index,
            totalChunks: step.total_chunks,
            chunk: pattern(step.chunk_len, step.chunk_pattern_seed),
          },
          9n,
          nowMs,
        );
        const expected = step.result as string | { complete_len?: number; xxh3?: string; error?: string };
        if (typeof expected === "string") expect(result.kind, vector.name).toBe(expected);
        else if (expected.error !== undefined) {
          expect(faultOf(result), vector.name).toBe(CODES[expected.error.split(" ")[0] as string]);
        } else if (result.kind === "complete") {
          expect(result.snapshot.length).toBe(expected.complete_len);
          expect(xxh3(result.snapshot)).toBe(BigInt(expected.xxh3 as string));
        } else expect.fail(`${vector.name}: ${result.kind}`);
        expect(reassembler.pending, vector.name).toBe(step.pending_count);
      }
    }
  });

  it("never exceeds the bound of one snapshot, whatever is overwritten", () => {
    const reassembler = new SnapshotReassembler({ maxSnapshotSize: 20 });
    const feed = (chunkIndex: number, size: number) =>
      reassembler.feed(chunk({ chunkIndex, totalChunks: 9, chunk: pattern(size, 0) }), 9n, 0);
    expect(feed(0, 10).kind).toBe("pending");
    expect(feed(0, 20).kind).toBe("pending");
    expect(faultOf(feed(1, 1))).toBe("snapshot-too-large");
    expect(feed(0, 19).kind).toBe("pending");
    expect(feed(1, 1).kind).toBe("pending");
  });

  it("leaves room for other peers", () => {
    const reassembler = new SnapshotReassembler();
    for (let origin = 1n; origin <= 16n; origin++) {
      expect(reassembler.feed(chunk({ originHash: origin }), 9n, 0).kind).toBe("pending");
    }
    expect(faultOf(reassembler.feed(chunk({ originHash: 17n }), 9n, 0))).toBe("too-many");
    expect(reassembler.feed(chunk({ originHash: 17n }), 8n, 0).kind).toBe("pending");
  });

  it("is refused when all peers together have begun too many, or too much", () => {
    const few = new SnapshotReassembler({ maxEntries: 2 });
    expect(few.feed(chunk({ originHash: 1n }), 1n, 0).kind).toBe("pending");
    expect(few.feed(chunk({ originHash: 2n }), 2n, 0).kind).toBe("pending");
    expect(faultOf(few.feed(chunk({ originHash: 3n }), 3n, 0))).toBe("too-many");
    const small = new SnapshotReassembler({ maxBytes: 200 });
    expect(small.feed(chunk({ originHash: 1n, chunk: pattern(100, 0) }), 1n, 0).kind).toBe("pending");
    expect(faultOf(small.feed(chunk({ originHash: 2n, chunk: pattern(100, 0) }), 2n, 0))).toBe("too-many");
    small.cancel(1n);
    expect(small.bytes).toBe(0);
  });

  it("is dropped by the sweep when the rest does not come, whoever feeds", () => {
    const reassembler = new SnapshotReassembler();
    reassembler.feed(chunk(), 9n, 0);
    reassembler.sweep(299_999);
    expect(reassembler.pending).toBe(1);
    reassembler.sweep(300_000);
    expect([reassembler.pending, reassembler.bytes]).toEqual([0, 0]);
  });

  it("can be given up and begun anew, but not with an older one", () => {
    const reassembler = new SnapshotReassembler();
    const state = pattern(3 * 7000 + 4096, 1);
    for (const index of [0, 1]) reassembler.feed(snapshotChunk(1n, 5n, state, index), 9n, 0);
    expect(reassembler.pending).toBe(1);
    reassembler.cancel(1n);
    reassembler.cancel(1n);
    expect(reassembler.pending).toBe(0);
    const older = reassembler.feed(snapshotChunk(1n, 4n, state, 2), 9n, 0);
    expect(older).toEqual({ kind: "refused", fault: { code: "stale-sequence", got: 4n, latest: 5n } });
    expect(reassembler.feed(snapshotChunk(1n, 5n, state, 2), 9n, 0).kind).toBe("pending");
    reassembler.forget(1n, 9n);
    expect(reassembler.feed(snapshotChunk(1n, 4n, state, 2), 9n, 0).kind).toBe("pending");
  });
});
