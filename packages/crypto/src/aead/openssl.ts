import {
  AAD_SIZE,
  copyBytes,
  HEADER_SIZE,
  HeaderOffset,
  readU32,
  TAG_SIZE,
  writeAad,
  writeU32,
} from "@netmesh/wire";
import { CryptoError, requireLength } from "../errors.ts";
import { type PublicView, REDACTED, Redacted } from "../redaction.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { optionalPackage } from "./optional-package.ts";
import {
  AEAD_KEY_SIZE,
  AEAD_MAX_AAD_LENGTH,
  AEAD_MAX_LENGTH,
  type AeadBatch,
  type AeadKey,
  type AeadProvider,
  requireLimits,
  requirePacket,
  requireRoom,
  requireSealed,
} from "./provider.ts";
import { SequentialBatch } from "./sequential-batch.ts";

// The functions of OpenSSL's <openssl/evp.h> in use. Pointers are numbers; a result of 1 is success.
interface Evp {
  newContext(): number;
  chacha20Poly1305(): number;
  /** Context, cipher, engine, key, nonce, 1 to encrypt or 0 to decrypt. */
  init(context: number, cipher: number, engine: number, key: number, nonce: number, encrypts: number): number;
  /** Context, output, length written, input, length. */
  update(context: number, output: number, written: number, input: number, length: number): number;
  final(context: number, output: number, written: number): number;
  control(context: number, command: number, value: number, pointer: number): number;
}

const EVP_CTRL_AEAD_GET_TAG = 0x10;
const EVP_CTRL_AEAD_SET_TAG = 0x11;

// What lies where in the memory that OpenSSL is told of.
const KEY_AT = 0;
const NONCE_AT: number = KEY_AT + AEAD_KEY_SIZE;
const WRITTEN_AT: number = NONCE_AT + 16;

const AAD_AT = 128;
const TEXT_AT: number = AAD_AT + AEAD_MAX_AAD_LENGTH;
/** A packet with the longest text, or such a text and its tag. */
const SCRATCH_BYTES: number = TEXT_AT + HEADER_SIZE + AEAD_MAX_LENGTH + TAG_SIZE;

/** One context of OpenSSL for all keys, and the memory that it is told of. */
class Engine {
  readonly #evp: Evp;
  readonly #context: number;
  readonly #scratch = new Uint8Array(SCRATCH_BYTES);
  readonly #at: number;
  /** Where most packets lie, at an address that is taken once: it is neither detached nor moved. */
  readonly #kernel: Kernel | undefined = kernel();
  readonly #kernelAt: number;

  constructor(evp: Evp, addressOf: (bytes: Uint8Array) => number) {
    this.#evp = evp;
    this.#at = addressOf(this.#scratch);
    this.#kernelAt = this.#kernel === undefined ? 0 : addressOf(this.#kernel.bytes);
    this.#context = evp.newContext();
    if (this.#context === 0) throw new Error("OpenSSL has no memory");
    this.#require(evp.init(this.#context, evp.chacha20Poly1305(), 0, this.#at, this.#at + NONCE_AT, 1));
  }

  /** Sets the key, and the nonce of a packet. */
  setPacket(key: Uint8Array, header: Uint8Array, at: number, prefix: number, lo: number, hi: number): void {
    const scratch = this.#scratch;
    scratch.set(key, KEY_AT);
    writeU32(scratch, NONCE_AT, prefix);
    writeU32(scratch, NONCE_AT + 4, lo);
    writeU32(scratch, NONCE_AT + 8, hi);
    writeAad(scratch, AAD_AT, header, at);
  }

  /** Sets the key, and nonce and associated data of a message. */
  setMessage(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array): void {
    this.#scratch.set(key, KEY_AT);
    this.#scratch.set(nonce, NONCE_AT);
    this.#scratch.set(aad, AAD_AT);
  }

  /** Encrypts, and writes the tag behind the text. */
  seal(aadLength: number, buffer: Uint8Array, offset: number, length: number): void {
    const place = this.#addressOf(buffer, offset, length + TAG_SIZE);
    const text = place ?? this.#copyIn(buffer, offset, length);
    const evp = this.#evp;
    this.#begin(1, aadLength, text, length);
    this.#require(evp.final(this.#context, text + length, this.#at + WRITTEN_AT));
    this.#require(evp.control(this.#context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, text + length));
    if (place === undefined) this.#copyOut(buffer, offset, length + TAG_SIZE);
  }

  /** Decrypts; false, and no plain text in the buffer, when the tag is another one. */
  open(aadLength: number, buffer: Uint8Array, offset: number, length: number): boolean {
    const place = this.#addressOf(buffer, offset, length + TAG_SIZE);
    const text = place ?? this.#copyIn(buffer, offset, length + TAG_SIZE);
    const evp = this.#evp;
    this.#begin(0, aadLength, text, length);
    this.#require(evp.control(this.#context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, text + length));
    if (evp.final(this.#context, text + length, this.#at + WRITTEN_AT) === 1) {
      if (place === undefined) this.#copyOut(buffer, offset, length);
      return true;
    }
    // What it has decrypted is nobody's text, and not to be looked at.
    if (place === undefined) this.#scratch.fill(0, TEXT_AT, TEXT_AT + length);
    else buffer.fill(0, offset, offset + length);
    return false;
  }

  /** Leaves nothing of a key where OpenSSL has seen it. */
  wipe(): void {
    this.#scratch.fill(0);
    this.#require(this.#evp.init(this.#context, 0, 0, this.#at, this.#at + NONCE_AT, 1));
  }

  #begin(encrypts: 0 | 1, aadLength: number, text: number, length: number): void {
    const evp = this.#evp;
    const context = this.#context;
    const at = this.#at;
    const written = at + WRITTEN_AT;
    this.#require(evp.init(context, 0, 0, at + KEY_AT, at + NONCE_AT, encrypts));
    if (aadLength > 0) this.#require(evp.update(context, 0, written, at + AAD_AT, aadLength));
    if (length > 0) this.#require(evp.update(context, text, written, text, length));
  }

  /**
   * Where bytes of the kernel's packet memory lie; undefined for any other memory. Throws `foreign-memory` for bytes that the
   * kernel keeps for itself.
   */
  #addressOf(buffer: Uint8Array, offset: number, size: number): number | undefined {
    const shared = this.#kernel;
    if (buffer.buffer !== shared?.buffer) return undefined;
    const at = buffer.byteOffset + offset;
    if (at < shared.heapAt || at + size > shared.heapEnd) {
      throw new CryptoError("foreign-memory", "not memory that was handed out for packets");
    }
    return this.#kernelAt + at;
  }

  #copyIn(buffer: Uint8Array, offset: number, size: number): number {
    this.#scratch.set(buffer.subarray(offset, offset + size), TEXT_AT);
    return this.#at + TEXT_AT;
  }

  #copyOut(buffer: Uint8Array, offset: number, size: number): void {
    buffer.set(this.#scratch.subarray(TEXT_AT, TEXT_AT + size), offset);
    this.#scratch.fill(0, TEXT_AT, TEXT_AT + size);
  }

  #require(result: number): void {
    if (result !== 1) throw new Error("OpenSSL refuses ChaCha20-Poly1305");
  }
}

class OpensslKey extends Redacted implements AeadKey {
  readonly #engine: Engine;
  readonly #key: Uint8Array;
  #isDestroyed = false;

  constructor(engine: Engine, key: Uint8Array) {
    super();
    this.#engine = engine;
    this.#key = copyBytes(key);
  }

  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    requirePacket(buffer, offset, payloadLength);
    this.requireAlive();
    this.#engine.setPacket(this.#key, buffer, offset, noncePrefix, counterLo, counterHi);
    this.#engine.seal(AAD_SIZE, buffer, offset + HEADER_SIZE, payloadLength);
    writeU32(buffer, offset + HeaderOffset.NONCE_PREFIX, noncePrefix);
    writeU32(buffer, offset + HeaderOffset.COUNTER, counterLo);
    writeU32(buffer, offset + HeaderOffset.COUNTER + 4, counterHi);
  }

  openPacket(buffer: Uint8Array, offset: number, payloadLength: number, noncePrefix: number): boolean {
    requirePacket(buffer, offset, payloadLength);
    this.requireAlive();
    const counterLo = readU32(buffer, offset + HeaderOffset.COUNTER);
    const counterHi = readU32(buffer, offset + HeaderOffset.COUNTER + 4);
    this.#engine.setPacket(this.#key, buffer, offset, noncePrefix, counterLo, counterHi);
    return this.#engine.open(AAD_SIZE, buffer, offset + HEADER_SIZE, payloadLength);
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    this.requireAlive();
    requireLimits(length, aad.length, nonce.length);
    requireSealed(buffer, offset, length);
    this.#engine.setMessage(this.#key, nonce, aad);
    this.#engine.seal(aad.length, buffer, offset, length);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    this.requireAlive();
    requireLimits(length - TAG_SIZE, aad.length, nonce.length);
    if (length < TAG_SIZE) return false;
    requireRoom(buffer, offset, length);
    this.#engine.setMessage(this.#key, nonce, aad);
    return this.#engine.open(aad.length, buffer, offset, length - TAG_SIZE);
  }

  requireAlive(): void {
    if (this.#isDestroyed) throw new CryptoError("destroyed", "this key was wiped");
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#key.fill(0);
    this.#engine.wipe();
  }

  override toJSON(): PublicView {
    return { provider: "native", key: REDACTED };
  }
}

type NativeFunction = (...parameters: number[]) => number;

/** What is used of the package koffi. */
export interface Koffi {
  load(library: null): {
    func(name: string, result: string, parameters: readonly string[]): NativeFunction;
  };
  address(bytes: Uint8Array): bigint;
}

/**
 * The OpenSSL of this process for every length, called through the optional package koffi: Node.js has it inside.
 * Undefined where there is no koffi, or the process does not show its OpenSSL. Packets in the memory of the WebAssembly
 * kernel are sealed and opened where they lie, others are copied there and back.
 */
export function opensslAead(
  koffi: Koffi | undefined = optionalPackage("koffi") as Koffi | undefined,
): AeadProvider | undefined {
  if (koffi === undefined) return undefined;
  let engine: Engine;
  try {
    const library = koffi.load(null);
    const bind = (name: string, result: string, ...parameters: string[]): NativeFunction =>
      library.func(name, result, parameters);
    const pointer = "uintptr_t";
    const three = [pointer, pointer, pointer];
    const evp: Evp = {
      newContext: bind("EVP_CIPHER_CTX_new", pointer),
      chacha20Poly1305: bind("EVP_chacha20_poly1305", pointer),
      init: bind("EVP_CipherInit_ex", "int", ...three, pointer, pointer, "int"),
      update: bind("EVP_CipherUpdate", "int", ...three, pointer, "int"),
      final: bind("EVP_CipherFinal_ex", "int", ...three),
      control: bind("EVP_CIPHER_CTX_ctrl", "int", pointer, "int", "int", pointer),
    };
    engine = new Engine(evp, (bytes) => Number(koffi.address(bytes)));
  } catch {
    return undefined;
  }
  return {
    name: "native",
    create(key: Uint8Array): AeadKey {
      requireLength(key, AEAD_KEY_SIZE, "an AEAD key");
      return new OpensslKey(engine, key);
    },
    createBatch: (): AeadBatch => new SequentialBatch(),
  };
}
