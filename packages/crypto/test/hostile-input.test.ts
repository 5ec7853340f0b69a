/** Nothing that arrives from the network makes anything but a typed refusal. The seeds make every run the same. */
import { expect, test } from "vitest";
import {
  HandshakeError,
  hexToBytes,
  Identity,
  NoiseInitiator,
  NoiseResponder,
  PacketCipher,
  ReplayWindow,
  StaticKeyPair,
} from "../src/index.ts";
import { pattern } from "./support/vectors.ts";

/** xorshift32: enough for inputs, and reproducible. */
function generator(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

const psk = pattern(32, 1);
const prologue = pattern(32, 2);
const staticKeyPair = StaticKeyPair.fromPrivateKey(pattern(32, 3));

function fresh(): [NoiseInitiator, NoiseResponder] {
  return [
    new NoiseInitiator({ psk, prologue, responderPublicKey: staticKeyPair.publicKey }),
    new NoiseResponder({ psk, prologue, staticKeyPair }),
  ];
}

/** `count` inputs without, and one in `curveOneIn` with a length that makes the reader do curve arithmetic. */
function* messages(count: number, curveOneIn: number, good: Uint8Array): Generator<Uint8Array> {
  const next = generator(0x9e37);
  for (let i = 0; i < count; i++) {
    if (i % curveOneIn === 0) {
      const bytes = good.slice(0, 48 + (next() % (good.length - 47)));
      bytes[next() % bytes.length] = next() & 0xff;
      yield bytes;
    } else {
      yield pattern(next() % 48, next());
    }
  }
}

test("100,000 wrong messages leave both readers able to finish their handshake", () => {
  const [initiator, responder] = fresh();
  const message1 = initiator.writeMessage1(pattern(8, 4));
  let refused = 0;
  const refuse = (bytes: Uint8Array, good: Uint8Array, read: () => unknown): void => {
    if (bytes.length === good.length && bytes.every((byte, i) => byte === good[i])) return;
    try {
      read();
    } catch (error) {
      if (!(error instanceof HandshakeError)) throw error;
      refused++;
    }
  };
  for (const bytes of messages(100_000, 200, message1)) {
    refuse(bytes, message1, () => responder.readMessage1(bytes));
  }
  expect(refused).toBeGreaterThan(99_900);
  responder.readMessage1(message1);
  const message2 = responder.writeMessage2();
  refused = 0;
  for (const bytes of messages(100_000, 200, message2)) {
    refuse(bytes, message2, () => initiator.readMessage2(bytes));
  }
  expect(refused).toBeGreaterThan(99_900);
  expect(initiator.readMessage2(message2).handshakeHash).toEqual(responder.result.handshakeHash);
}, 60_000);

test("of 100,000 random or altered packets none opens, and the window does not move", () => {
  const cipher = new PacketCipher(pattern(32, 5), 77n);
  const window = new ReplayWindow();
  const good = pattern(68 + 20 + 16, 6);
  cipher.sealPacket(good, 0, 20, 3, 0);
  const next = generator(0xc0ffee);
  const buffer = new Uint8Array(200);
  for (let i = 0; i < 100_000; i++) {
    let length = good.length;
    if (i % 2 === 0) {
      length = next() % 201;
      for (let at = 0; at < length; at++) buffer[at] = next();
    } else {
      buffer.set(good);
      const at = 16 + (next() % (good.length - 16));
      buffer[at] = (buffer[at] as number) ^ (1 + (next() % 255));
    }
    if (cipher.openPacket(buffer, 0, length) >= 0) window.commit(next(), next());
  }
  expect(window.next).toBe(0n);
}, 60_000);

test("100,000 random counters: whatever the window accepts, it refuses the second time", () => {
  const window = new ReplayWindow();
  const next = generator(42);
  for (let i = 0; i < 100_000; i++) {
    const [lo, hi] = [next(), i % 100 === 0 ? next() % 4 : window.next > 0xffff_ffffn ? 1 : 0];
    window.isValid(lo, hi);
    window.commit(lo, hi);
    expect(window.commit(lo, hi)).toBe(false);
  }
});

test("random signatures under random keys never verify and never throw", () => {
  const next = generator(7);
  const random = (length: number) => Uint8Array.from({ length }, () => next());
  for (let i = 0; i < 300; i++) {
    const signature = random(64);
    signature[63] = 0; // below the group order, so that the arithmetic is reached
    expect(Identity.verify(random(32), hexToBytes("00"), signature)).toBe(false);
  }
});
