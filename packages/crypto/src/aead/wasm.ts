import { copyBytes, HEADER_SIZE, TAG_SIZE } from "@netmesh/wire";
import { CryptoError, requireLength } from "../errors.ts";
import { type PublicView, REDACTED, Redacted } from "../redaction.ts";
import { type Kernel, kernel } from "./kernel.ts";
import { LinearMemory } from "./linear-memory.ts";
import {
  AEAD_BATCH_SIZE,
  AEAD_KEY_SIZE,
  type AeadBatch,
  type AeadKey,
  type AeadProvider,
  type PacketMemory,
  requireLimits,
  requirePacket,
  requireRoom,
  requireSealed,
} from "./provider.ts";

/** Lengths for which a view of the scratch space is kept: those of datagrams. */
const KEPT_VIEWS = 8_321;

/** Keys, and the way of messages into linear memory and back, over one kernel. */
class KernelMemory {
  readonly kernel: Kernel;
  readonly #freeKeys: number[] = [];
  #nextKey: number;
  readonly #keysEnd: number;
  readonly #views: (Uint8Array | undefined)[] = [];

  constructor(loaded: Kernel) {
    this.kernel = loaded;
    this.#nextKey = loaded.keysAt + AEAD_KEY_SIZE;
    this.#keysEnd = loaded.keysAt + loaded.keyLimit * AEAD_KEY_SIZE;
  }

  /** Where keys are put that have no place of their own, for one call. */
  get sharedKeyAt(): number {
    return this.kernel.keysAt;
  }

  /** A place for a key, or undefined when all are taken. */
  placeKey(key: Uint8Array): number | undefined {
    let at = this.#freeKeys.pop();
    if (at === undefined) {
      if (this.#nextKey === this.#keysEnd) return undefined;
      at = this.#nextKey;
      this.#nextKey += AEAD_KEY_SIZE;
    }
    this.kernel.bytes.set(key, at);
    return at;
  }

  /** Wipes a key, and whatever the kernel has left of it in its scratch space. */
  wipeKey(at: number | undefined): void {
    const { bytes, keysAt } = this.kernel;
    bytes.fill(0, keysAt, keysAt + AEAD_KEY_SIZE);
    if (at !== undefined) {
      bytes.fill(0, at, at + AEAD_KEY_SIZE);
      this.#freeKeys.push(at);
    }
    this.kernel.wipe();
  }

  /**
   * Where `size` bytes of a view of the linear memory lie. Throws `foreign-memory` outside of what is handed out: there are
   * the keys, and what the kernel works with.
   */
  addressOf(buffer: Uint8Array, offset: number, size: number): number {
    const at = buffer.byteOffset + offset;
    if (at < this.kernel.heapAt || at + size > this.kernel.heapEnd) {
      throw new CryptoError("foreign-memory", "not memory that was handed out for packets");
    }
    return at;
  }

  /** Copies `length` bytes to the scratch space; without allocating when little lies around them. */
  copyIn(buffer: Uint8Array, offset: number, length: number): void {
    const { bytes, textAt, aadAt, textLimit } = this.kernel;
    if (offset <= textAt - aadAt && buffer.length - offset <= textLimit) bytes.set(buffer, textAt - offset);
    else bytes.set(buffer.subarray(offset, offset + length), textAt);
  }

  /** Copies the first `length` bytes of the scratch space back. */
  copyOut(buffer: Uint8Array, offset: number, length: number): void {
    let view = length < KEPT_VIEWS ? this.#views[length] : undefined;
    if (view === undefined) {
      view = new Uint8Array(this.kernel.buffer, this.kernel.textAt, length);
      if (length < KEPT_VIEWS) this.#views[length] = view;
    }
    buffer.set(view, offset);
  }
}

class KernelKey extends Redacted implements AeadKey {
  readonly #memory: KernelMemory;
  readonly #kernel: Kernel;
  readonly #linear: ArrayBuffer;
  /** Where the key lies; undefined when it has to be put there for each call. */
  readonly #place: number | undefined;
  readonly #copy: Uint8Array | undefined;
  #isDestroyed = false;

  constructor(memory: KernelMemory, key: Uint8Array) {
    super();
    this.#memory = memory;
    this.#kernel = memory.kernel;
    this.#linear = memory.kernel.buffer;
    this.#place = memory.placeKey(key);
    this.#copy = this.#place === undefined ? copyBytes(key) : undefined;
    if (this.#place !== undefined) forgotten?.register(this, { memory, place: this.#place }, this);
  }

  sealPacket(
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    const size = requirePacket(buffer, offset, payloadLength);
    const key = this.address();
    if (buffer.buffer === this.#linear) {
      const packet = this.#memory.addressOf(buffer, offset, size);
      this.#kernel.sealPacket(key, noncePrefix, counterLo, counterHi, packet, payloadLength);
      return;
    }
    const text = this.#copyIn(buffer, offset, size);
    this.#kernel.sealPacket(key, noncePrefix, counterLo, counterHi, text, payloadLength);
    this.#memory.copyOut(buffer, offset, size);
  }

  openPacket(buffer: Uint8Array, offset: number, payloadLength: number, noncePrefix: number): boolean {
    const size = requirePacket(buffer, offset, payloadLength);
    const key = this.address();
    if (buffer.buffer === this.#linear) {
      const packet = this.#memory.addressOf(buffer, offset, size);
      return this.#kernel.openPacket(key, noncePrefix, packet, payloadLength) !== 0;
    }
    const text = this.#copyIn(buffer, offset, size);
    if (this.#kernel.openPacket(key, noncePrefix, text, payloadLength) === 0) return false;
    this.#memory.copyOut(buffer, offset, HEADER_SIZE + payloadLength);
    return true;
  }

  seal(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): void {
    const key = this.address();
    requireLimits(length, aad.length, nonce.length);
    const size = requireSealed(buffer, offset, length);
    const isLinear = buffer.buffer === this.#linear;
    const text = isLinear
      ? this.#memory.addressOf(buffer, offset, size)
      : this.#copyIn(buffer, offset, length);
    this.#copyParameters(nonce, aad);
    const { nonceAt, aadAt } = this.#kernel;
    this.#kernel.seal(key, nonceAt, aadAt, aad.length, text, length);
    if (!isLinear) this.#memory.copyOut(buffer, offset, size);
  }

  open(nonce: Uint8Array, aad: Uint8Array, buffer: Uint8Array, offset: number, length: number): boolean {
    const key = this.address();
    const textLength = length - TAG_SIZE;
    requireLimits(textLength, aad.length, nonce.length);
    if (textLength < 0) return false;
    requireRoom(buffer, offset, length);
    const isLinear = buffer.buffer === this.#linear;
    const text = isLinear
      ? this.#memory.addressOf(buffer, offset, length)
      : this.#copyIn(buffer, offset, length);
    this.#copyParameters(nonce, aad);
    const { nonceAt, aadAt } = this.#kernel;
    if (this.#kernel.open(key, nonceAt, aadAt, aad.length, text, textLength) === 0) return false;
    if (!isLinear) this.#memory.copyOut(buffer, offset, textLength);
    return true;
  }

  get isDestroyed(): boolean {
    return this.#isDestroyed;
  }

  requireAlive(): void {
    if (this.#isDestroyed) throw new CryptoError("destroyed", "this key was wiped");
  }

  /** Where the key lies during the next call of the kernel. Throws `destroyed`. */
  address(): number {
    this.requireAlive();
    if (this.#place !== undefined) return this.#place;
    this.#kernel.bytes.set(this.#copy as Uint8Array, this.#memory.sharedKeyAt);
    return this.#memory.sharedKeyAt;
  }

  /** Where the key lies for good, for several keys in one call; undefined when it has no place of its own. */
  get place(): number | undefined {
    return this.#place;
  }

  destroy(): void {
    if (this.#isDestroyed) return;
    this.#isDestroyed = true;
    this.#copy?.fill(0);
    this.#memory.wipeKey(this.#place);
    forgotten?.unregister(this);
  }

  override toJSON(): PublicView {
    return { provider: "wasm", key: REDACTED };
  }

  /** Brings a message into linear memory; the address. */
  #copyIn(buffer: Uint8Array, offset: number, size: number): number {
    this.#memory.copyIn(buffer, offset, size);
    return this.#kernel.textAt;
  }

  #copyParameters(nonce: Uint8Array, aad: Uint8Array): void {
    const { bytes, nonceAt, aadAt } = this.#kernel;
    bytes.set(nonce, nonceAt);
    bytes.set(aad, aadAt);
  }
}

/** Wipes the keys of objects that were collected without `destroy`. */
const forgotten =
  typeof FinalizationRegistry === "undefined"
    ? undefined
    : new FinalizationRegistry<{ readonly memory: KernelMemory; readonly place: number }>(
        ({ memory, place }) => memory.wipeKey(place),
      );

/** Words of a batch entry: key, nonce prefix, counter (two), packet, payload length, result, unused. */
const ENTRY_WORDS = 8;
const ENTRY_RESULT = 6;

class KernelBatch implements AeadBatch {
  count = 0;
  readonly #memory: KernelMemory;
  readonly #kernel: Kernel;
  readonly #keys: (KernelKey | undefined)[] = [];
  /** Entries as the kernel reads them, eight words each. */
  readonly #list = new Uint32Array(AEAD_BATCH_SIZE * ENTRY_WORDS);

  constructor(memory: KernelMemory) {
    this.#memory = memory;
    this.#kernel = memory.kernel;
  }

  add(
    key: AeadKey,
    buffer: Uint8Array,
    offset: number,
    payloadLength: number,
    noncePrefix: number,
    counterLo: number,
    counterHi: number,
  ): void {
    if (this.count === AEAD_BATCH_SIZE)
      throw new CryptoError("invalid-length", "the batch is full", this.count);
    const size = requirePacket(buffer, offset, payloadLength);
    key.requireAlive();
    const place = key instanceof KernelKey ? key.place : undefined;
    if (buffer.buffer !== this.#kernel.buffer || place === undefined) {
      throw new CryptoError("foreign-memory", "packet and key of a batch lie in the provider's memory");
    }
    const packet = this.#memory.addressOf(buffer, offset, size);
    const at = this.count * ENTRY_WORDS;
    const list = this.#list;
    list[at] = place;
    list[at + 1] = noncePrefix;
    list[at + 2] = counterLo;
    list[at + 3] = counterHi;
    list[at + 4] = packet;
    list[at + 5] = payloadLength;
    this.#keys[this.count++] = key as KernelKey;
  }

  seal(): void {
    this.#kernel.sealPackets(this.#hand());
  }

  open(): void {
    const count = this.#hand();
    this.#kernel.openPackets(count);
    const { words, batchAt } = this.#kernel;
    for (let i = 0; i < AEAD_BATCH_SIZE; i++) {
      const result = i * ENTRY_WORDS + ENTRY_RESULT;
      this.#list[result] = i < count ? (words[batchAt / 4 + result] as number) : 0;
    }
  }

  opened(index: number): boolean {
    return this.#list[index * ENTRY_WORDS + ENTRY_RESULT] === 1;
  }

  /**
   * Gives the list to the kernel and empties it; returns how many entries there are. Throws `destroyed`: the place of a
   * wiped key may be another key's by now.
   */
  #hand(): number {
    const { count } = this;
    this.count = 0;
    let wiped: KernelKey | undefined;
    for (let i = 0; i < count; i++) {
      const key = this.#keys[i] as KernelKey;
      if (key.isDestroyed) wiped = key;
      this.#keys[i] = undefined;
    }
    wiped?.requireAlive();
    this.#kernel.words.set(this.#list, this.#kernel.batchAt / 4);
    return count;
  }
}

let provider: AeadProvider | undefined;

/**
 * ChaCha20-Poly1305 in WebAssembly with SIMD, from the binary inside this package. Undefined where that cannot run: no
 * SIMD, or a content security policy without `wasm-unsafe-eval`. Packets in its `memory` are sealed and opened where they lie;
 * others are copied there and back.
 */
export function wasmAead(): AeadProvider | undefined {
  const loaded = kernel();
  if (loaded === undefined || provider !== undefined) return provider;
  const memory = new KernelMemory(loaded);
  const packets: PacketMemory = new LinearMemory(loaded.buffer, loaded.heapAt, loaded.heapEnd);
  provider = {
    name: "wasm",
    memory: packets,
    create(key: Uint8Array): AeadKey {
      requireLength(key, AEAD_KEY_SIZE, "an AEAD key");
      return new KernelKey(memory, key);
    },
    createBatch(): AeadBatch {
      return new KernelBatch(memory);
    },
  };
  return provider;
}
