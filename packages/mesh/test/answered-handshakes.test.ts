import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { AnsweredHandshakes } from "../src/handshake/answered.ts";

const FROM = SocketAddress.parse("192.0.2.1:1");

function ephemeral(number: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

function remembering(count: number): AnsweredHandshakes {
  const answered = new AnsweredHandshakes(7);
  for (let i = 0; i < count; i++) answered.remember(ephemeral(i), new Uint8Array(1), FROM, 1_000);
  return answered;
}

describe("answered handshakes", () => {
  it("are answered alike for fifteen seconds, and are replays for a day", () => {
    const answered = remembering(2);
    const answer = answered.lookup(ephemeral(1), 0, 1_000);
    if (answer === undefined) throw new Error("forgotten");
    expect(answered.repeat(answer, 16_000)).toBe("answer again");
    expect(answered.repeat(answer, 16_001)).toBe("replay");
    expect(answered.lookup(ephemeral(1), 0, 86_401_000)).toBe(answer);
    expect(answered.lookup(ephemeral(1), 0, 86_401_001)).toBeUndefined();
    expect(answered.lookup(ephemeral(2), 0, 1_000)).toBeUndefined();
  });

  it("are found inside a datagram, by all of their 32 bytes", () => {
    const answered = remembering(2);
    const datagram = new Uint8Array(100);
    datagram.set(ephemeral(1), 68);
    expect(answered.lookup(datagram, 68, 1_000)?.reply).toEqual(new Uint8Array(1));
    datagram[99] = 1;
    expect(answered.lookup(datagram, 68, 1_000)).toBeUndefined();
  });

  it("are answered again no more than ten times a second each, and 256 times in all", () => {
    const answered = remembering(300);
    const answers = (number: number, nowMs: number) => {
      const answer = answered.lookup(ephemeral(number), 0, nowMs);
      return answer !== undefined && answered.repeat(answer, nowMs) === "answer again";
    };
    const times = Array.from({ length: 1_000 }, (_, i) => 2_000 + i);
    expect(times.filter((nowMs) => answers(0, nowMs)).length).toBe(10);
    const numbers = Array.from({ length: 300 }, (_, i) => i);
    expect(numbers.filter((number) => answers(number, 3_500)).length).toBe(256);
  });

  it("are remembered up to 16 384, the oldest being forgotten first", () => {
    const answered = remembering(2 * 16_384 + 2);
    expect(
      [0, 16_385, 16_386, 32_769].map((i) => answered.lookup(ephemeral(i), 0, 1_000) !== undefined),
    ).toEqual([false, false, true, true]);
  });
});
