import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  aeadProvider,
  aeadProviderNames,
  CryptoError,
  noncePrefix,
  PacketCipher,
  ReplayWindow,
} from "../src/index.ts";
import { halves, pattern } from "./support/vectors.ts";

const key = pattern(32, 1);
const other = pattern(32, 2);
const SESSION_ID = 0x1122334455667788n;
const HEADER = 68;

/** A packet of `length` payload bytes at `offset`, with a header that no field test depends on, ready to be sealed. */
function unsealed(length: number, offset = 0): Uint8Array {
  const buffer = pattern(offset + HEADER + length + 16, 9);
  buffer.fill(0, offset + 12, offset + 24);
  return buffer;
}

function sealed(length: number, counter = 0n): Uint8Array {
  const packet = unsealed(length);
  new PacketCipher(key, SESSION_ID).sealPacket(packet, 0, length, ...halves(counter));
  return packet;
}

describe.each(aeadProviderNames())("with the %s AEAD", (name) => {
  const provider = aeadProvider(name);

  test("a packet of any size, anywhere in its buffer, comes back as it was, in place", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(200), fc.nat(8108)),
        fc.nat(40),
        fc.bigInt(0n, 2n ** 64n - 2n),
        (length, offset, counter) => {
          const before = unsealed(length, offset);
          const buffer = before.slice();
          const cipher = new PacketCipher(key, SESSION_ID, provider);
          const total = cipher.sealPacket(buffer, offset, length, ...halves(counter));
          expect(total).toBe(HEADER + length + 16);
          const nonce = new DataView(buffer.buffer, offset + 12, 12);
          expect(nonce.getUint32(0, true)).toBe(noncePrefix(SESSION_ID));
          expect(nonce.getBigUint64(4, true)).toBe(counter);
          if (length > 0) expect(buffer.at(offset + HEADER)).toBeDefined();
          expect(cipher.openPacket(buffer, offset, total)).toBe(length);
          buffer.fill(0, offset + 12, offset + 24);
          expect(buffer.subarray(0, offset + HEADER + length)).toEqual(
            before.subarray(0, offset + HEADER + length),
          );
        },
      ),
    );
  });

  test("every altered byte is noticed, but for hop count and nonce prefix, and no plaintext is left behind", () => {
    const cipher = new PacketCipher(key, SESSION_ID, provider);
    const packet = sealed(40);
    for (let i = 0; i < packet.length; i++) {
      const altered = packet.slice();
      altered[i] = (altered[i] as number) ^ 1;
      const before = altered.slice();
      const survives = i === 6 || (i >= 12 && i < 16);
      expect(cipher.openPacket(altered, 0, altered.length)).toBe(survives ? 40 : -1);
      if (!survives) expect(altered).toEqual(before);
    }
  });

  test("a destroyed key neither seals nor opens; destroying twice is fine", () => {
    const cipher = new PacketCipher(key, SESSION_ID, provider);
    const packet = unsealed(3);
    const before = packet.slice();
    cipher.destroy();
    cipher.destroy();
    expect(() => cipher.sealPacket(packet, 0, 3, 0, 0)).toThrow(
      expect.objectContaining({ code: "destroyed" }),
    );
    expect(packet).toEqual(before);
    expect(() => cipher.openPacket(packet, 0, packet.length)).toThrow("destroyed");
  });

  test("the key is a copy: wiping the caller's changes nothing", () => {
    const own = key.slice();
    const cipher = new PacketCipher(own, SESSION_ID, provider);
    own.fill(0);
    const packet = sealed(5);
    expect(cipher.openPacket(packet, 0, packet.length)).toBe(5);
  });

  test("a key of another size than 32 bytes is refused", () => {
    expect(() => provider.create(new Uint8Array(31))).toThrow(
      expect.objectContaining({ code: "invalid-length", value: 31 }),
    );
  });
});

test("an unknown provider is refused by name", () => {
  expect(() => aeadProvider("rot13")).toThrow(
    expect.objectContaining({ code: "unknown-provider", value: "rot13" }),
  );
});

describe("a packet does not open", () => {
  const cipher = new PacketCipher(key, SESSION_ID);

  test("when it is shorter than header and tag, or longer than its buffer", () => {
    const packet = sealed(0);
    for (const length of [0, 15, 16, 67, 68, 83, 85]) expect(cipher.openPacket(packet, 0, length)).toBe(-1);
    expect(cipher.openPacket(packet, 0, 84)).toBe(0);
  });

  test("under another key or for another session", () => {
    expect(new PacketCipher(other, SESSION_ID).openPacket(sealed(9), 0, HEADER + 25)).toBe(-1);
    expect(new PacketCipher(key, SESSION_ID + 1n).openPacket(sealed(9), 0, HEADER + 25)).toBe(-1);
  });

  test("with another counter", () => {
    const packet = sealed(9, 5n);
    packet[16] = 6;
    expect(cipher.openPacket(packet, 0, packet.length)).toBe(-1);
  });
});

test("a heartbeat is a sealed nothing: its tag verifies, a flipped bit does not", () => {
  const cipher = new PacketCipher(key, SESSION_ID);
  const heartbeat = sealed(0, 7n);
  expect(heartbeat).toHaveLength(84);
  expect(cipher.openPacket(heartbeat.slice(), 0, 84)).toBe(0);
  heartbeat[83] = (heartbeat[83] as number) ^ 0x80;
  expect(cipher.openPacket(heartbeat, 0, 84)).toBe(-1);
});

test("the copying forms leave their input alone and grow it by the tag", () => {
  const cipher = new PacketCipher(key, SESSION_ID);
  const [aad, plaintext] = [pattern(20, 3), pattern(100, 4)];
  const bytes = cipher.seal(1, 0, aad, plaintext);
  expect(plaintext).toEqual(pattern(100, 4));
  expect(bytes).toHaveLength(116);
  const before = bytes.slice();
  expect(cipher.open(1, 0, aad, bytes)).toEqual(plaintext);
  expect(bytes).toEqual(before);
  expect(cipher.open(2, 0, aad, bytes)).toBeUndefined();
  expect(cipher.open(1, 0, pattern(20, 4), bytes)).toBeUndefined();
  expect(cipher.open(1, 0, aad, bytes.subarray(0, 15))).toBeUndefined();
  expect(new PacketCipher(other, SESSION_ID).open(1, 0, aad, bytes)).toBeUndefined();
});

test("sealing into a buffer without room for the tag is refused before anything is written", () => {
  const cipher = new PacketCipher(key, SESSION_ID);
  const packet = unsealed(10);
  const before = packet.slice();
  expect(() => cipher.sealPacket(packet, 0, 11, 0, 0)).toThrow(
    expect.objectContaining({ code: "invalid-length", value: HEADER + 11 + 16 }),
  );
  expect(packet).toEqual(before);
});

test("the last counter of all is not sealed, the one before it is", () => {
  const cipher = new PacketCipher(key, SESSION_ID);
  expect(cipher.sealPacket(unsealed(1), 0, 1, 0xffff_fffe, 0xffff_ffff)).toBe(HEADER + 17);
  expect(() => cipher.sealPacket(unsealed(1), 0, 1, 0xffff_ffff, 0xffff_ffff)).toThrow(CryptoError);
});

test.each([
  ["not a number", Number.NaN, 0],
  ["negative", -1, -1],
  ["too large by one", 2 ** 32, 0],
  ["a fraction", 0, 0.5],
])("a counter that is %s seals nothing: it would be the counter of another packet", (_, lo, hi) => {
  const cipher = new PacketCipher(key, SESSION_ID);
  const packet = unsealed(20);
  const refused = expect.objectContaining({ code: "invalid-argument" });
  expect(() => cipher.sealPacket(packet, 0, 20, lo, hi)).toThrow(refused);
  expect(() => cipher.seal(lo, hi, new Uint8Array(0), packet)).toThrow(refused);
  const batch = aeadProvider().createBatch();
  expect(() => cipher.addTo(batch, packet, 0, 20, lo, hi)).toThrow(refused);
  expect(packet).toEqual(unsealed(20));
});

test("the prefix folds the session id, and stands before the counter in the nonce", () => {
  expect(noncePrefix(0x00000001_00000007n)).not.toBe(noncePrefix(0x00000002_00000007n));
  expect(noncePrefix(SESSION_ID)).toBe(noncePrefix(SESSION_ID));
  const packet = sealed(0, 0xcafebabedeadbeefn);
  expect(new DataView(packet.buffer).getBigUint64(16, true)).toBe(0xcafebabedeadbeefn);
});

test("two sessions with the same key and counter give different ciphertexts", () => {
  const seal = (session: bigint) =>
    new PacketCipher(key, session).seal(0, 0, new Uint8Array(), pattern(32, 0));
  expect(seal(1n)).not.toEqual(seal(2n));
});

test("a bad tag with a huge counter does not move the window", () => {
  const [cipher, window] = [new PacketCipher(key, SESSION_ID), new ReplayWindow()];
  const receive = (packet: Uint8Array): boolean => {
    if (cipher.openPacket(packet, 0, packet.length) < 0) return false;
    const counter = new DataView(packet.buffer, 16, 8);
    return window.commit(counter.getUint32(0, true), counter.getUint32(4, true));
  };
  expect(receive(sealed(4, 0n))).toBe(true);
  const forged = sealed(4, 2n ** 40n);
  forged[70] = (forged[70] as number) ^ 1;
  expect(receive(forged)).toBe(false);
  expect(window.next).toBe(1n);
  expect(receive(sealed(4, 0n))).toBe(false);
  expect(receive(sealed(4, 1n))).toBe(true);
});
