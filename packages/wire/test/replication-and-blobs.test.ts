import { describe, expect, test } from "vitest";
import {
  CONTROL_STREAM_ID,
  channelHash,
  decodeLogMessage,
  decodeTransferHeader,
  decodeTransferRequest,
  effectiveLogChunk,
  encodeLogMessage,
  encodeTransferHeader,
  encodeTransferRequest,
  isTransferStreamId,
  type LogHeartbeat,
  type LogMessage,
  type LogNack,
  LogNackCode,
  LogRequestClass,
  LogRole,
  MAX_LOG_CHUNK,
  MAX_TRANSFER_SIZE,
  publishStreamId,
  Subprotocol,
  transferStreamId,
} from "../src/index.ts";
import { hex, unhex } from "./hex.ts";
import vectors from "./vectors/replication.json" with { type: "json" };

const channel = unhex("3ce18e76d3d3f088990d337a19c2236b7c39a68a49ff9893e0ab72fb4ad9b114");
const request: LogMessage = {
  type: "request",
  channel,
  sinceSequence: 5n,
  chunkMax: 1000,
  requestId: 9n,
  class: LogRequestClass.FOREGROUND,
};
const response: LogMessage = {
  type: "response",
  channel,
  firstSequence: 5n,
  leaderFirstRetained: 1n,
  requestId: 9n,
  records: [
    { sequence: 5n, data: Uint8Array.of(1, 8, 15) },
    { sequence: 6n, data: new Uint8Array(0) },
  ],
};
const heartbeat: LogHeartbeat = {
  type: "heartbeat",
  channel,
  tailSequence: 77n,
  role: LogRole.LEADER,
  clockMs: 1_700_000_000_000n,
};
const nack: LogNack = {
  type: "nack",
  channel,
  sinceSequence: 3n,
  code: LogNackCode.NOT_LEADER,
  leaderFirstRetained: 2n,
  requestId: 9n,
  detail: "détail",
};

describe("log replication", () => {
  test("messages have the reference's bytes in both directions", () => {
    const messages: LogMessage[] = [
      request,
      { ...request, class: LogRequestClass.BACKGROUND },
      response,
      heartbeat,
      { ...heartbeat, role: LogRole.CANDIDATE },
      { ...heartbeat, role: LogRole.IDLE },
      nack,
      { ...nack, code: LogNackCode.BAD_RANGE },
      { ...nack, code: LogNackCode.BACK_PRESSURE },
    ];
    expect(messages.map((message) => hex(encodeLogMessage(message)))).toEqual(
      vectors.redex_replication.map(({ bytes }) => bytes),
    );
    for (const message of messages) expect(decodeLogMessage(encodeLogMessage(message))).toEqual(message);
  });

  test("a request of 55 bytes is a foreground one, 54 are none", () => {
    const bytes = encodeLogMessage({ ...request, class: LogRequestClass.REAL_TIME });
    expect(bytes.length).toBe(56);
    expect(decodeLogMessage(bytes)).toMatchObject({ class: LogRequestClass.REAL_TIME });
    expect(decodeLogMessage(bytes.subarray(0, 55))).toMatchObject({ class: LogRequestClass.FOREGROUND });
    expect(decodeLogMessage(bytes.with(55, 9))).toMatchObject({ class: LogRequestClass.FOREGROUND });
    expect(decodeLogMessage(bytes.subarray(0, 54))).toBeUndefined();
  });

  test("every truncation in front of the last field is refused, a rest behind it is ignored", () => {
    for (const message of [response, heartbeat, nack]) {
      const bytes = encodeLogMessage(message);
      for (let end = 0; end < bytes.length; end++)
        expect(decodeLogMessage(bytes.subarray(0, end))).toBeUndefined();
      expect(decodeLogMessage(Uint8Array.of(...bytes, 1, 2))).toEqual(message);
    }
  });

  test("unknown roles, codes, ids and dispatch bytes are refused", () => {
    const beat = encodeLogMessage(heartbeat);
    expect(decodeLogMessage(beat.with(43, 4))).toBeUndefined();
    for (const code of [0, 5])
      expect(decodeLogMessage(encodeLogMessage(nack).with(43, code))).toBeUndefined();
    expect(decodeLogMessage(beat.with(0, 1))).toBeUndefined();
    for (const dispatch of [0x1f, 0x24, 0x2f])
      expect(decodeLogMessage(beat.with(2, dispatch))).toBeUndefined();
    expect(decodeLogMessage(encodeLogMessage(nack).with(62, 0xff))).toBeUndefined();
  });

  test("a count larger than the data is refused", () => {
    const bytes = encodeLogMessage(response);
    bytes.fill(0xff, 59, 63);
    expect(decodeLogMessage(bytes)).toBeUndefined();
    expect(decodeLogMessage(encodeLogMessage(response).with(59, 3))).toBeUndefined();
  });

  test("an over-long detail is cut at a character", () => {
    const bytes = encodeLogMessage({ ...nack, detail: `a${"é".repeat(32_768)}` });
    expect(decodeLogMessage(bytes)).toMatchObject({ detail: `a${"é".repeat(32_767)}` });
    expect(decodeLogMessage(encodeLogMessage({ ...nack, detail: "é".repeat(32_768) }))).toMatchObject({
      detail: "é".repeat(32_767),
    });
  });

  test("the leader takes 0 and more than 64 MiB as 64 MiB", () => {
    expect([0, 1, MAX_LOG_CHUNK, MAX_LOG_CHUNK + 1].map(effectiveLogChunk)).toEqual([
      MAX_LOG_CHUNK,
      1,
      MAX_LOG_CHUNK,
      MAX_LOG_CHUNK,
    ]);
  });

  test("the encoder refuses a short channel and unknown roles and codes", () => {
    const bad: LogMessage[] = [
      { ...request, channel: channel.subarray(1) },
      { ...request, class: 256 as LogRequestClass },
      { ...heartbeat, role: 4 as LogRole },
      { ...nack, code: 0 as LogNackCode },
    ];
    for (const message of bad) {
      expect(() => encodeLogMessage(message)).toThrow(expect.objectContaining({ code: "invalid-argument" }));
    }
  });
});

describe("blob transfer", () => {
  test("transfer streams never meet publish, subprotocol or control streams", () => {
    for (const nonce of [0n, 1n, 0xffff_ffff_ffffn, 0xffff_ffff_ffff_ffffn]) {
      const id = transferStreamId(nonce);
      expect((id >> 61n) & 1n).toBe(1n);
      expect((id >> 48n) & 1n).toBe(0n);
      expect(isTransferStreamId(id)).toBe(true);
    }
    expect(isTransferStreamId(CONTROL_STREAM_ID)).toBe(false);
    expect(isTransferStreamId(publishStreamId(channelHash("sensors/lidar")))).toBe(false);
    for (const id of Object.values(Subprotocol)) expect(isTransferStreamId(BigInt(id))).toBe(false);
  });

  test("a request carries the content hash behind a zero", () => {
    const bytes = encodeTransferRequest(channel);
    expect(hex(bytes)).toBe(`00${hex(channel)}`);
    expect(decodeTransferRequest(bytes)).toEqual(channel);
    expect(decodeTransferRequest(bytes.subarray(1))).toBeUndefined();
    expect(decodeTransferRequest(bytes.with(0, 1))).toBeUndefined();
    expect(() => encodeTransferRequest(channel.subarray(1))).toThrow("32 bytes");
  });

  test("a header carries the length in groups of seven bits", () => {
    const cases: [number, string][] = [
      [0, "0000"],
      [127, "007f"],
      [128, "008001"],
      [16_383, "00ff7f"],
      [16_384, "00808001"],
      [MAX_TRANSFER_SIZE, "0080808008"],
    ];
    for (const [totalLength, bytes] of cases) {
      expect(hex(encodeTransferHeader({ found: true, totalLength }))).toBe(bytes);
      expect(decodeTransferHeader(unhex(bytes))).toEqual({ found: true, totalLength });
    }
    expect(hex(encodeTransferHeader({ found: false }))).toBe("01");
    expect(decodeTransferHeader(unhex("01"))).toEqual({ found: false });
  });

  test("more than 16 MiB is refused on both sides", () => {
    expect(decodeTransferHeader(unhex("0081808008"))).toBeUndefined();
    expect(() => encodeTransferHeader({ found: true, totalLength: MAX_TRANSFER_SIZE + 1 })).toThrow(
      expect.objectContaining({ code: "message-too-large", value: MAX_TRANSFER_SIZE + 1 }),
    );
    for (const totalLength of [-1, 0.5]) {
      expect(() => encodeTransferHeader({ found: true, totalLength })).toThrow("natural number");
    }
  });

  test("an unfinished, endless or unknown header is refused", () => {
    for (const bytes of ["", "00", "0080", "02", `00${"80".repeat(11)}`]) {
      expect(decodeTransferHeader(unhex(bytes)), bytes).toBeUndefined();
    }
  });
});
