import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  bytesToHex,
  CryptoError,
  deriveSessionKeys,
  HandshakeError,
  handshakePrologue,
  MAX_NOISE_MESSAGE_SIZE,
  NOISE_OVERHEAD,
  NoiseInitiator,
  type NoiseInitiatorOptions,
  NoiseResponder,
  type NoiseResponderOptions,
  noncePrefix,
  StaticKeyPair,
} from "../src/index.ts";
import { curves } from "./support/implementations.ts";
import { hex } from "./support/vectors.ts";

const filled = (byte: number) => new Uint8Array(32).fill(byte);
const INITIATOR_ID = 0x8edf34ef4ac5d453n;
const RESPONDER_ID = 0x2199586daf8408bfn;
const psk = filled(0x42);
const prologue = handshakePrologue(INITIATOR_ID, RESPONDER_ID);
const staticKeyPair = StaticKeyPair.fromPrivateKey(filled(0x33));

function sides(
  initiator: Partial<NoiseInitiatorOptions> = {},
  responder: Partial<NoiseResponderOptions> = {},
): [NoiseInitiator, NoiseResponder] {
  return [
    new NoiseInitiator({ psk, prologue, responderPublicKey: staticKeyPair.publicKey, ...initiator }),
    new NoiseResponder({ psk, prologue, staticKeyPair, ...responder }),
  ];
}

function shake(initiator: NoiseInitiator, responder: NoiseResponder): void {
  responder.readMessage1(initiator.writeMessage1());
  initiator.readMessage2(responder.writeMessage2());
}

describe("the handshakes of the spec, byte for byte", () => {
  test.each([
    {
      name: "direct (C2)",
      payload: "",
      message1:
        "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f13f903708faa0bd999a16d9a29609fd0b7",
      message2:
        "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20180ada726d992c698e12f15cd19a9bf4",
      handshakeHash: "a60ec4c67c4ec56dbeb35f3197ff29cf960dfb887d44d1e36e46f7eb1e725b01",
      sessionId: 0x6dc54e7cc6c40ea6n,
      txKey: "8cfaee88a5abe18ce2f121494e11efb5bd81cb4f0943707e52ebdb41db6c1b30",
      rxKey: "98fff3f40f06edf967a107cd41fb1461e0a61d8698380faf4601d1d8a371daed",
    },
    {
      name: "routed (C3)",
      payload: "53d4c54aef34df8e",
      message1:
        "7b4e909bbe7ffe44c465a220037d608ee35897d31ef972f07f74892cb0f73f1343414b43e0d3ef4c53bf57e3d3686b82052ff3e46dfc738e",
      message2:
        "0faa684ed28867b97f4a6a2dee5df8ce974e76b7018e3f22a1c4cf2678570f20d9f206d077b25d40084d9b72c936551f",
      handshakeHash: "f8ad02be1560fa66573dd070fbfc888726584b0b49efd65f0959367e2ad92766",
      sessionId: 0x66fa6015be02adf8n,
      txKey: "f4c3a3c934ca0e677cf6808e4b34667f668e5d9c7a66da0fd789db3a7eae70f6",
      rxKey: "799be7a05be61976514b6640a9d9402db3aec247bdeb42338b724e3236995aec",
    },
  ])("$name", (expected) => {
    const [initiator, responder] = sides({ ephemeral: filled(0x11) }, { ephemeral: filled(0x22) });
    const message1 = initiator.writeMessage1(hex(expected.payload));
    expect(bytesToHex(message1)).toBe(expected.message1);
    expect(bytesToHex(responder.readMessage1(message1))).toBe(expected.payload);
    const message2 = responder.writeMessage2();
    expect(bytesToHex(message2)).toBe(expected.message2);
    const { handshakeHash } = initiator.readMessage2(message2);
    expect(bytesToHex(handshakeHash)).toBe(expected.handshakeHash);
    const keys = deriveSessionKeys(handshakeHash, "initiator");
    expect(keys.sessionId).toBe(expected.sessionId);
    expect(bytesToHex(keys.txKey)).toBe(expected.txKey);
    expect(bytesToHex(keys.rxKey)).toBe(expected.rxKey);
    if (expected.payload === "") expect(noncePrefix(keys.sessionId)).toBe(0xab0140da);
  });
});

describe.each(curves)("with the %s curve", (_, curve) => {
  test("both sides get the same session, each one's tx is the other's rx", () => {
    const [initiator, responder] = sides({ curve }, { curve });
    shake(initiator, responder);
    const a = deriveSessionKeys(initiator.result.handshakeHash, "initiator");
    const b = deriveSessionKeys(responder.result.handshakeHash, "responder");
    expect(a.sessionId).toBe(b.sessionId);
    expect(a.txKey).toEqual(b.rxKey);
    expect(a.rxKey).toEqual(b.txKey);
    expect(a.txKey).not.toEqual(a.rxKey);
    expect(initiator.result.chainingKey).toEqual(responder.result.chainingKey);
  });

  test("a responder key of small order is refused before anything is sent, and again the next time", () => {
    const initiator = sides({ responderPublicKey: new Uint8Array(32), curve })[0];
    expect(() => initiator.writeMessage1()).toThrow(HandshakeError);
    expect(() => initiator.writeMessage1()).toThrow("small order");
  });
});

test("two handshakes give different ids and keys", () => {
  const [first, second] = [sides(), sides()];
  shake(...first);
  shake(...second);
  expect(first[0].result.handshakeHash).not.toEqual(second[0].result.handshakeHash);
  expect(first[0].result.chainingKey).not.toEqual(second[0].result.chainingKey);
});

test("the ephemeral key comes from the given random source", () => {
  const random = { fill: (bytes: Uint8Array) => void bytes.fill(0x11) };
  expect(sides({ random })[0].writeMessage1()).toEqual(sides({ ephemeral: filled(0x11) })[0].writeMessage1());
});

describe("the responder refuses message 1", () => {
  test.each<[string, Partial<NoiseInitiatorOptions>]>([
    ["under another PSK", { psk: filled(0x43) }],
    ["for another static key", { responderPublicKey: StaticKeyPair.generate().publicKey }],
    ["from another initiator id", { prologue: handshakePrologue(INITIATOR_ID + 1n, RESPONDER_ID) }],
    ["for another responder id", { prologue: handshakePrologue(INITIATOR_ID, RESPONDER_ID + 1n) }],
    ["with the ids swapped", { prologue: handshakePrologue(RESPONDER_ID, INITIATOR_ID) }],
    ["with an empty prologue", { prologue: new Uint8Array() }],
  ])("%s, and still takes the right one afterwards", (_, options) => {
    const [good, responder] = sides();
    const [bad] = sides(options);
    expect(() => responder.readMessage1(bad.writeMessage1())).toThrow(HandshakeError);
    shake(good, responder);
    expect(good.result.handshakeHash).toEqual(responder.result.handshakeHash);
  });

  test("that is 47 bytes short, empty or longer than any Noise message", () => {
    const responder = sides()[1];
    for (const length of [0, 1, 31, 32, 47, MAX_NOISE_MESSAGE_SIZE + 1]) {
      expect(() => responder.readMessage1(new Uint8Array(length))).toThrow(HandshakeError);
    }
  });

  test("whose ephemeral key has small order", () => {
    expect(() => sides()[1].readMessage1(new Uint8Array(48))).toThrow(HandshakeError);
  });
});

test("ids that differ above 32 bits only make the same prologue: routing ids are bound", () => {
  const [initiator, responder] = sides({
    prologue: handshakePrologue(INITIATOR_ID & 0xffff_ffffn, RESPONDER_ID | (1n << 63n)),
  });
  shake(initiator, responder);
  expect(initiator.result.handshakeHash).toEqual(responder.result.handshakeHash);
});

test("forged answers do not spoil an attempt: the real message 2 still completes it", () => {
  const [initiator, responder] = sides();
  const other = sides({ psk: filled(1) }, { psk: filled(1) });
  other[1].readMessage1(other[0].writeMessage1());
  responder.readMessage1(initiator.writeMessage1());
  const real = responder.writeMessage2();
  for (const forged of [other[1].writeMessage2(), new Uint8Array(48), real.subarray(1), new Uint8Array()]) {
    expect(() => initiator.readMessage2(forged)).toThrow(HandshakeError);
  }
  expect(initiator.readMessage2(real).handshakeHash).toEqual(responder.result.handshakeHash);
});

test("payloads of both messages arrive; a reader that expects none may ignore them", () => {
  const [initiator, responder] = sides();
  expect(responder.readMessage1(initiator.writeMessage1(hex("0102")))).toEqual(hex("0102"));
  expect(initiator.readMessage2(responder.writeMessage2(hex("030405"))).payload).toEqual(hex("030405"));
  expect(responder.result.payload).toEqual(hex("0102"));
  expect(deriveSessionKeys(initiator.result.handshakeHash, "initiator").sessionId).toBe(
    deriveSessionKeys(responder.result.handshakeHash, "responder").sessionId,
  );
});

test("the initiator's ephemeral key is the head of message 1, as both sides see it", () => {
  const [initiator, responder] = sides();
  expect(() => responder.initiatorEphemeral).toThrow(HandshakeError);
  const message1 = initiator.writeMessage1();
  responder.readMessage1(message1);
  expect(initiator.initiatorEphemeral).toEqual(message1.subarray(0, 32));
  expect(responder.initiatorEphemeral).toEqual(message1.subarray(0, 32));
});

test("steps out of order are errors, taking the result early among them", () => {
  const [initiator, responder] = sides();
  expect(() => initiator.result).toThrow(HandshakeError);
  expect(() => initiator.readMessage2(new Uint8Array(48))).toThrow("out of order");
  expect(() => responder.writeMessage2()).toThrow("out of order");
  const message1 = initiator.writeMessage1();
  expect(() => initiator.writeMessage1()).toThrow("out of order");
  responder.readMessage1(message1);
  expect(() => responder.readMessage1(message1)).toThrow("out of order");
  expect(() => responder.result).toThrow("no result yet");
  expect(() => initiator.result).toThrow("no result yet");
  const message2 = responder.writeMessage2();
  expect(() => responder.writeMessage2()).toThrow("out of order");
  initiator.readMessage2(message2);
  expect(() => initiator.readMessage2(message2)).toThrow("out of order");
});

test("the largest payload fits a Noise message, one byte more does not", () => {
  const [initiator, responder] = sides();
  const largest = MAX_NOISE_MESSAGE_SIZE - NOISE_OVERHEAD;
  expect(() => initiator.writeMessage1(new Uint8Array(largest + 1))).toThrow(HandshakeError);
  expect(responder.readMessage1(initiator.writeMessage1(new Uint8Array(largest)))).toHaveLength(largest);
});

test("keys of the wrong size are refused with the size found", () => {
  for (const make of [
    () => sides({ psk: new Uint8Array(31) }),
    () => sides({ responderPublicKey: new Uint8Array(31) }),
    () => sides({ ephemeral: new Uint8Array(31) }),
  ]) {
    expect(make).toThrow(expect.objectContaining({ code: "invalid-length", value: 31 }));
  }
});

test("after destroy nothing works, twice is fine, and results already taken are wiped", () => {
  const [initiator, responder] = sides();
  shake(initiator, responder);
  const { handshakeHash, chainingKey } = initiator.result;
  initiator.destroy();
  initiator.destroy();
  responder.destroy();
  expect(handshakeHash).toEqual(new Uint8Array(32));
  expect(chainingKey).toEqual(new Uint8Array(32));
  expect(() => initiator.result).toThrow("destroyed");
  expect(() => responder.result).toThrow(CryptoError);

  const fresh = sides();
  for (const side of fresh) side.destroy();
  expect(() => fresh[0].writeMessage1()).toThrow("destroyed");
  expect(() => fresh[1].readMessage1(new Uint8Array(48))).toThrow("destroyed");
  const half = sides();
  half[1].readMessage1(half[0].writeMessage1());
  half[1].destroy();
  expect(() => half[1].writeMessage2()).toThrow("destroyed");
});

test("generated static pairs differ, and their public keys are 32 bytes, not zero", () => {
  const [a, b] = [StaticKeyPair.generate(), StaticKeyPair.generate()];
  expect(a.publicKey).not.toEqual(b.publicKey);
  expect(a.publicKey).toHaveLength(32);
  expect(a.publicKey).not.toEqual(new Uint8Array(32));
});

test("any altered bit of either message is noticed", () => {
  const [initiator, responder] = sides();
  const message1 = initiator.writeMessage1(hex("0011223344556677"));
  const flip = (bytes: Uint8Array, bit: number) => {
    const altered = bytes.slice();
    altered[bit >> 3] = (altered[bit >> 3] as number) ^ (1 << (bit & 7));
    return altered;
  };
  fc.assert(
    fc.property(fc.nat(message1.length * 8 - 1), (bit) => {
      expect(() => responder.readMessage1(flip(message1, bit))).toThrow(HandshakeError);
    }),
  );
  responder.readMessage1(message1);
  const message2 = responder.writeMessage2();
  fc.assert(
    fc.property(fc.nat(message2.length * 8 - 1), (bit) => {
      expect(() => initiator.readMessage2(flip(message2, bit))).toThrow(HandshakeError);
    }),
  );
  initiator.readMessage2(message2);
});
