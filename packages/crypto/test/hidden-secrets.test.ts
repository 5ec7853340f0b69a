import { afterEach, expect, test, vi } from "vitest";
import {
  aeadProvider,
  aeadProviderNames,
  bytesToHex,
  CryptoError,
  deriveForwardSecretKeys,
  deriveSessionKeys,
  equalBytes,
  HandshakeError,
  hexToBytes,
  Identity,
  keyedBlake2s,
  NoiseInitiator,
  NoiseResponder,
  PacketCipher,
  platformRandom,
  StaticKeyPair,
} from "../src/index.ts";
import { pattern } from "./support/vectors.ts";

const INSPECT = Symbol.for("nodejs.util.inspect.custom");
const secret = pattern(32, 0x21);
const pair = StaticKeyPair.fromPrivateKey(secret);
const ephemeral = secret;
const initiator = new NoiseInitiator({
  psk: secret,
  prologue: new Uint8Array(),
  responderPublicKey: pair.publicKey,
  ephemeral,
});
const responder = new NoiseResponder({
  psk: secret,
  prologue: new Uint8Array(),
  staticKeyPair: pair,
  ephemeral,
});
responder.readMessage1(initiator.writeMessage1());
const result = initiator.readMessage2(responder.writeMessage2());
const keys = deriveSessionKeys(result.handshakeHash, "initiator");
const forwardSecret = deriveForwardSecretKeys(result, "initiator");

function printed(object: object): string[] {
  const custom = (object as { [INSPECT]?: () => string })[INSPECT];
  return [String(custom?.call(object)), JSON.stringify(object), JSON.stringify({ ...object }, bigints)];
}

function bigints(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? `${value}` : value;
}

const secrets = [
  secret,
  keys.txKey,
  keys.rxKey,
  result.handshakeHash,
  result.chainingKey,
  forwardSecret.txKey,
  forwardSecret.rxKey,
  forwardSecret.chainSecret as Uint8Array,
];
const spellings = secrets.flatMap((bytes) => [
  bytesToHex(bytes).slice(0, 12),
  `${bytes[0]},${bytes[1]},${bytes[2]}`,
]);

test.each<[object, string]>([
  [pair, bytesToHex(pair.publicKey)],
  [Identity.fromSeed(secret), bytesToHex(Identity.fromSeed(secret).entityId)],
  [Identity.publicOnly(pair.publicKey), "seed: none"],
  [keys, keys.sessionId.toString(16)],
  [forwardSecret, forwardSecret.sessionId.toString(16)],
  [new PacketCipher(secret, 0xabcdefn), "0000000000abcdef"],
  ...aeadProviderNames().map((name): [object, string] => [aeadProvider(name).create(secret), name]),
  [initiator, "done"],
  [responder, "done"],
  [result, "payloadLength"],
])("printing or serialising one shows the public parts and no secret (%#)", (object, visible) => {
  const texts = printed(object);
  expect(texts[0]).toContain(visible);
  for (const text of texts) for (const spelling of spellings) expect(text).not.toContain(spelling);
});

test("session keys can be wiped", () => {
  const own = deriveSessionKeys(secret, "responder");
  own.destroy();
  expect(own.txKey).toEqual(new Uint8Array(32));
  expect(own.rxKey).toEqual(new Uint8Array(32));
});

test("a destroyed static pair has no private key left", () => {
  const own = StaticKeyPair.fromPrivateKey(secret);
  own.destroy();
  expect(own.privateKey).toEqual(new Uint8Array(32));
});

test("error messages begin as the spec says and name the size, not the bytes", () => {
  expect(new HandshakeError("x").message).toBe("handshake error: x");
  expect(new CryptoError("counter-exhausted", "x").message).toBe("encryption error: x");
  expect(new CryptoError("decryption-failed", "x").message).toBe("decryption error: x");
  expect(new CryptoError("invalid-key", "x").message).toBe("invalid key: x");
  expect(new HandshakeError("x")).toMatchObject({ name: "HandshakeError", code: "handshake-failed" });
});

test("a keyed hash takes keys of 1 to 32 bytes", () => {
  expect(keyedBlake2s("k", "data")).toHaveLength(32);
  for (const length of [0, 33]) {
    expect(() => keyedBlake2s(new Uint8Array(length), "")).toThrow(
      expect.objectContaining({ code: "invalid-length", value: length }),
    );
  }
});

test("hex goes both ways, in either case, and refuses anything else", () => {
  expect(bytesToHex(Uint8Array.of(0, 10, 255))).toBe("000aff");
  expect(hexToBytes("000AfF")).toEqual(Uint8Array.of(0, 10, 255));
  for (const bad of ["0", "0g", "0x00", " 00"]) expect(() => hexToBytes(bad)).toThrow("invalid key");
});

test("equality is of all bytes and the length", () => {
  expect(equalBytes(secret, secret.slice())).toBe(true);
  expect(equalBytes(secret, secret.subarray(1))).toBe(false);
  expect(equalBytes(secret, pattern(32, 0x22))).toBe(false);
});

afterEach(() => void vi.unstubAllGlobals());

test("random bytes come in any amount", () => {
  const bytes = new Uint8Array(200_000);
  platformRandom.fill(bytes);
  expect(bytes.subarray(-64).some((byte) => byte !== 0)).toBe(true);
});

test("a random source that fails is fatal; there is no fallback", () => {
  const refusal = expect.objectContaining({ code: "random-failed" });
  vi.stubGlobal("crypto", undefined);
  expect(() => Identity.generate()).toThrow(refusal);
  vi.stubGlobal("crypto", {
    getRandomValues() {
      throw new Error("no entropy");
    },
  });
  expect(() => Identity.generate()).toThrow(refusal);
});
