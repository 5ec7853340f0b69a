/** ChaCha20-Poly1305 that is not this package's: OpenSSL in Node, noble in a browser. */
import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import type { ReferenceSeal } from "./differential.ts";

interface NodeCipher {
  setAAD(aad: Uint8Array, options: { plaintextLength: number }): void;
  update(data: Uint8Array): Uint8Array;
  final(): Uint8Array;
  getAuthTag(): Uint8Array;
}

interface NodeCrypto {
  createCipheriv(
    name: "chacha20-poly1305",
    key: Uint8Array,
    nonce: Uint8Array,
    options: { authTagLength: number },
  ): NodeCipher;
}

interface Host {
  process?: { getBuiltinModule?: (name: string) => unknown };
}

const nodeCrypto = (globalThis as unknown as Host).process?.getBuiltinModule?.("node:crypto") as
  | NodeCrypto
  | undefined;

export const referenceName: string = nodeCrypto === undefined ? "noble" : "node:crypto";

export const referenceSeal: ReferenceSeal = (key, nonce, aad, plain) => {
  if (nodeCrypto === undefined) return chacha20poly1305(key, nonce, aad).encrypt(plain);
  const cipher = nodeCrypto.createCipheriv("chacha20-poly1305", key, nonce, { authTagLength: 16 });
  cipher.setAAD(aad, { plaintextLength: plain.length });
  const sealed = new Uint8Array(plain.length + 16);
  sealed.set(cipher.update(plain));
  cipher.final();
  sealed.set(cipher.getAuthTag(), plain.length);
  return sealed;
};
