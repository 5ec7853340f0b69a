import { bench, describe } from "vitest";
import {
  type Curve,
  deriveSessionKeys,
  Identity,
  NoiseInitiator,
  NoiseResponder,
  nobleCurve,
  nobleSignatures,
  platformCurve,
  platformSignatures,
  type SignatureScheme,
  StaticKeyPair,
} from "../src/index.ts";

const psk = new Uint8Array(32).fill(1);
const prologue = new Uint8Array(32).fill(2);
const message = new Uint8Array(105);

describe("a whole handshake, both sides, with session keys", () => {
  for (const curve of [nobleCurve, platformCurve].filter((item): item is Curve => item !== undefined)) {
    const staticKeyPair = StaticKeyPair.generate(undefined, curve);
    bench(curve.name, () => {
      const initiator = new NoiseInitiator({
        psk,
        prologue,
        responderPublicKey: staticKeyPair.publicKey,
        curve,
      });
      const responder = new NoiseResponder({ psk, prologue, staticKeyPair, curve });
      responder.readMessage1(initiator.writeMessage1());
      initiator.readMessage2(responder.writeMessage2());
      deriveSessionKeys(initiator.result.handshakeHash, "initiator");
      deriveSessionKeys(responder.result.handshakeHash, "responder");
    });
  }
});

describe("signatures", () => {
  const schemes = [nobleSignatures, platformSignatures];
  for (const scheme of schemes.filter((item): item is SignatureScheme => item !== undefined)) {
    const identity = Identity.generate(undefined, scheme);
    const { entityId } = identity;
    const signature = identity.sign(message);
    bench(`sign (${scheme.name})`, () => {
      identity.sign(message);
    });
    bench(`verify (${scheme.name})`, () => {
      Identity.verify(entityId, message, signature, scheme);
    });
  }
});
