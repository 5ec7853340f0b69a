import { SocketAddress } from "@netmesh/wire";
import { describe, expect, it } from "vitest";
import { AnsweredHandshakes } from "../src/handshake/answered.ts";

const FROM = SocketAddress.parse("192.0.2.1:1");

function ephemeral(number: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes;
}

describe("answered handshakes", () => {
  it("are answered alike for fifteen seconds, and are replays for a day", () => {
    const answered = new AnsweredHandshakes();
    const reply = Uint8Array.of(1, 2);
    answered.remember(ephemeral(1), reply, FROM, 1_000);
    expect(answered.lookup(ephemeral(1), 16_000)).toEqual({ reply, to: FROM });
    expect(answered.lookup(ephemeral(1), 16_001)).toBe("replay");
    expect(answered.lookup(ephemeral(1), 86_401_000)).toBe("replay");
    expect(answered.lookup(ephemeral(1), 86_401_001)).toBeUndefined();
    expect(answered.lookup(ephemeral(2), 1_000)).toBeUndefined();
  });

  it("are remembered up to 16 384, the oldest being forgotten first", () => {
    const answered = new AnsweredHandshakes();
    for (let i = 0; i < 16_386; i++) answered.remember(ephemeral(i), new Uint8Array(1), FROM, 0);
    expect([0, 1, 2, 16_385].map((i) => answered.lookup(ephemeral(i), 0) !== undefined)).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });
});
