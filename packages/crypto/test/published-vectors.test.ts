import { describe, expect, test } from "vitest";
import {
  aeadProvider,
  aeadProviderNames,
  bytesToHex,
  type Curve,
  keyedBlake2s,
  NoiseInitiator,
  NoiseResponder,
} from "../src/index.ts";
import { curves, schemes } from "./support/implementations.ts";
import { hex, published } from "./support/vectors.ts";

describe.each(aeadProviderNames())("RFC 8439 with the %s AEAD", (name) => {
  const sunscreen = new TextEncoder().encode(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const key = hex("808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f");
  const nonce = hex("070000004041424344454647");
  const aad = hex("50515253c0c1c2c3c4c5c6c7");

  test("§2.8.2: seals and opens the sunscreen text in place", () => {
    const buffer = new Uint8Array(sunscreen.length + 16);
    buffer.set(sunscreen);
    const aead = aeadProvider(name).create(key);
    aead.seal(nonce, aad, buffer, 0, sunscreen.length);
    expect(bytesToHex(buffer)).toBe(
      "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6" +
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36" +
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc" +
        "3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691",
    );
    expect(aead.open(nonce, aad, buffer, 0, buffer.length)).toBe(true);
    expect(buffer.subarray(0, sunscreen.length)).toEqual(sunscreen);
  });

  test("appendix A.5: opens the Internet-Drafts text", () => {
    const sealed = hex(
      "64a0861575861af460f062c79be643bd5e805cfd345cf389f108670ac76c8cb2" +
        "4c6cfc18755d43eea09ee94e382d26b0bdb7b73c321b0100d4f03b7f355894cf" +
        "332f830e710b97ce98c8a84abd0b948114ad176e008d33bd60f982b1ff37c855" +
        "9797a06ef4f0ef61c186324e2b3506383606907b6a7c02b0f9f6157b53c867e4" +
        "b9166c767b804d46a59b5216cde7a4e99040c5a40433225ee282a1b0a06c523e" +
        "af4534d7f83fa1155b0047718cbc546a0d072b04b3564eea1b422273f548271a" +
        "0bb2316053fa76991955ebd63159434ecebb4e466dae5a1073a6727627097a10" +
        "49e617d91d361094fa68f0ff77987130305beaba2eda04df997b714d6c6f2c29" +
        "a6ad5cb4022b02709beead9d67890cbb22392336fea1851f38",
    );
    const aead = aeadProvider(name).create(
      hex("1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0"),
    );
    const opened = aead.open(
      hex("000000000102030405060708"),
      hex("f33388860000000000004e91"),
      sealed,
      0,
      sealed.length,
    );
    expect(opened).toBe(true);
    expect(new TextDecoder().decode(sealed.subarray(0, 31))).toBe("Internet-Drafts are draft docum");
  });
});

test("BLAKE2s known answers: keyed, of nothing and of one byte", () => {
  const key = Uint8Array.from({ length: 32 }, (_, i) => i);
  expect(bytesToHex(keyedBlake2s(key, ""))).toBe(
    "48a8997da407876b3d79c0d92325ad3b89cbb754d86ab71aee047ad345fd2c49",
  );
  expect(bytesToHex(keyedBlake2s(key, Uint8Array.of(0)))).toBe(
    "40d15fee7c328830166ac3f918650f807e7e01e177258cdc0a39b11f598066f1",
  );
});

/** RFC 7748 §5.2: k, u = X25519(k, u), k, starting with the base point for both. */
function iterate(curve: Curve, times: number): string {
  let k = hex(`09${"00".repeat(31)}`);
  let u = k;
  for (let i = 0; i < times; i++) [k, u] = [curve.sharedSecret(k, u), k];
  return bytesToHex(k);
}

describe.each(curves)("RFC 7748 with the %s curve", (_, curve) => {
  test.each([
    [
      "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
      "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
      "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
    ],
    [
      "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
      "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
      "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
    ],
  ])("§5.2: scalar %s", (scalar, u, result) => {
    expect(bytesToHex(curve.sharedSecret(hex(scalar), hex(u)))).toBe(result);
  });

  test("§5.2: one and a thousand iterations", () => {
    expect(iterate(curve, 1)).toBe("422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
    expect(iterate(curve, 1000)).toBe("684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
  }, 30_000);

  test("§6.1: Alice and Bob", () => {
    const alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    const bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    expect(bytesToHex(curve.publicKey(alice))).toBe(
      "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
    );
    expect(bytesToHex(curve.publicKey(bob))).toBe(
      "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
    );
    const secret = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
    expect(bytesToHex(curve.sharedSecret(alice, curve.publicKey(bob)))).toBe(secret);
    expect(bytesToHex(curve.sharedSecret(bob, curve.publicKey(alice)))).toBe(secret);
  });
});

const RFC_8032 = [
  {
    name: "test 1",
    seed: "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
    publicKey: "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
    message: "",
    signature:
      "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
  },
  {
    name: "test 2",
    seed: "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
    publicKey: "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
    message: "72",
    signature:
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
  },
  {
    name: "test 3",
    seed: "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
    publicKey: "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
    message: "af82",
    signature:
      "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
  },
];

describe.each(schemes)("RFC 8032 §7.1 with %s signatures", (_, scheme) => {
  test.each(RFC_8032)("$name", ({ seed, publicKey, message, signature }) => {
    expect(bytesToHex(scheme.publicKey(hex(seed)))).toBe(publicKey);
    expect(bytesToHex(scheme.sign(hex(seed), hex(message)))).toBe(signature);
    expect(scheme.verify(hex(publicKey), hex(message), hex(signature))).toBe(true);
  });
});

describe.each(curves)("the published Noise_NKpsk0 vector with the %s curve", (_, curve) => {
  test.each(published.vectors)("$source", (vector) => {
    const privateKey = hex(vector.resp_static);
    const initiator = new NoiseInitiator({
      psk: hex(vector.init_psks[0] as string),
      prologue: hex(vector.init_prologue),
      ephemeral: hex(vector.init_ephemeral),
      responderPublicKey: hex(vector.init_remote_static),
      curve,
    });
    const responder = new NoiseResponder({
      psk: hex(vector.resp_psks[0] as string),
      prologue: hex(vector.resp_prologue),
      ephemeral: hex(vector.resp_ephemeral),
      staticKeyPair: { publicKey: curve.publicKey(privateKey), privateKey },
      curve,
    });
    const [first, second] = vector.messages as [(typeof vector.messages)[0], (typeof vector.messages)[0]];
    const message1 = initiator.writeMessage1(hex(first.payload));
    expect(bytesToHex(message1)).toBe(first.ciphertext);
    expect(bytesToHex(responder.readMessage1(message1))).toBe(first.payload);
    const message2 = responder.writeMessage2(hex(second.payload));
    expect(bytesToHex(message2)).toBe(second.ciphertext);
    expect(bytesToHex(initiator.readMessage2(message2).payload)).toBe(second.payload);
    expect(bytesToHex(initiator.result.handshakeHash)).toBe(vector.handshake_hash);
    expect(bytesToHex(responder.result.handshakeHash)).toBe(vector.handshake_hash);
  });
});
