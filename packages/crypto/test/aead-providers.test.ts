import { describe, expect, test } from "vitest";
import { sodiumAead } from "../src/aead/native.ts";
import { opensslAead } from "../src/aead/openssl.ts";
import { passesSelfTest } from "../src/aead/self-test.ts";
import {
  AEAD_BATCH_SIZE,
  AEAD_MAX_AAD_LENGTH,
  AEAD_MAX_LENGTH,
  type AeadKey,
  type AeadProvider,
  aeadProvider,
  aeadProviderNames,
  nobleAead,
  PacketCipher,
} from "../src/index.ts";
import { CaseSource, compareWithReference } from "./support/differential.ts";
import { referenceName, referenceSeal } from "./support/reference-aead.ts";
import { pattern } from "./support/vectors.ts";

const sodium = sodiumAead();
const openssl = opensslAead();
const providers: [string, AeadProvider][] = aeadProviderNames().map((name) => [name, aeadProvider(name)]);
// The provider "native" leaves short packets to another one: here it has to do everything itself.
if (openssl !== undefined) providers.push(["OpenSSL for every length", openssl]);
if (sodium !== undefined) providers.push(["sodium for every length", sodium]);

const OVERHEAD = 84;
const isNode = typeof process !== "undefined" && process.versions?.node !== undefined;
const keyBytes = pattern(32, 3);

/** Memory as the provider likes it. */
function memoryOf(provider: AeadProvider, size: number): Uint8Array {
  return provider.memory?.allocate(size) ?? new Uint8Array(size);
}

describe.each(providers)("the provider %s", (_, provider) => {
  test(`agrees with ${referenceName} on ten thousand random cases`, () => {
    compareWithReference(provider, referenceSeal, 10_000, 20_261_121);
  });

  test("passes the test on known answers", () => {
    expect(passesSelfTest(provider)).toBe(true);
  });

  test("seals a batch of any mixture of packets as it seals them one by one", () => {
    const source = new CaseSource(7);
    const keys = [1, 2, 3].map((seed) => provider.create(pattern(32, seed)));
    const room = 8_320;
    const memory = memoryOf(provider, room * AEAD_BATCH_SIZE);
    const batch = provider.createBatch();
    for (let round = 0; round < 12; round++) {
      const packets = Array.from({ length: 1 + source.below(AEAD_BATCH_SIZE) }, (_value, i) => {
        const payloadLength = round < 6 ? source.below(80) : source.length();
        const at = i * room;
        const plain = source.bytes(OVERHEAD + payloadLength);
        const key = keys[source.below(3)] as AeadKey;
        memory.set(plain, at);
        batch.add(key, memory, at, payloadLength, 9, i, round);
        const single = plain.slice();
        key.sealPacket(single, 0, payloadLength, 9, i, round);
        return { at, key, payloadLength, plain, single, isForged: source.below(5) === 0 };
      });
      expect(batch.count).toBe(packets.length);
      batch.seal();
      expect(batch.count).toBe(0);
      for (const { at, single } of packets) expect(memory.slice(at, at + single.length)).toEqual(single);

      for (const { at, key, payloadLength, single, isForged } of packets) {
        const byte = at + single.length - 1 - source.below(16);
        if (isForged) memory[byte] = (memory[byte] as number) ^ 4;
        batch.add(key, memory, at, payloadLength, 9, 0, 0);
      }
      batch.open();
      packets.forEach(({ at, payloadLength, plain, isForged }, i) => {
        expect(batch.opened(i)).toBe(!isForged);
        const text = memory.slice(at + 68, at + 68 + payloadLength);
        if (!isForged) expect(text).toEqual(plain.slice(68, 68 + payloadLength));
        else if (payloadLength >= 16) expect(text).not.toEqual(plain.slice(68, 68 + payloadLength));
      });
    }
  });

  test("a batch takes 64 packets, and none that does not fit its buffer", () => {
    const batch = provider.createBatch();
    const memory = memoryOf(provider, 256);
    const key = provider.create(keyBytes);
    expect(() => batch.add(key, memory, 0, 256, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "invalid-length" }),
    );
    for (let i = 0; i < AEAD_BATCH_SIZE; i++) batch.add(key, memory, 0, 0, 0, i, 0);
    expect(() => batch.add(key, memory, 0, 0, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "invalid-length" }),
    );
  });

  test("what was not in the last batch was not opened", () => {
    const memory = memoryOf(provider, 256);
    const batch = provider.createBatch();
    const key = provider.create(keyBytes);
    for (const places of [[0, 128], [0]]) {
      for (const at of places) batch.add(key, memory, at, 20, 1, at, 0);
      batch.seal();
      for (const at of places) batch.add(key, memory, at, 20, 1, 0, 0);
      batch.open();
      expect([0, 1, 2].map((i) => batch.opened(i))).toEqual([true, places.length === 2, false]);
    }
  });

  test("a key that is wiped while its packet waits in a batch seals and opens nothing", () => {
    const memory = memoryOf(provider, 256);
    for (const run of ["seal", "open"] as const) {
      const batch = provider.createBatch();
      const key = provider.create(keyBytes);
      const before = memory.slice();
      batch.add(key, memory, 0, 64, 0, 0, 0);
      key.destroy();
      expect(() => batch[run]()).toThrow(expect.objectContaining({ code: "destroyed" }));
      expect(memory.slice()).toEqual(before);
      // The batch is there for the keys that live.
      expect(batch.count).toBe(0);
      batch.add(provider.create(keyBytes), memory, 0, 64, 0, 0, 0);
      batch.seal();
      expect(memory.slice()).not.toEqual(before);
      memory.set(before);
    }
    const dead = provider.create(keyBytes);
    dead.destroy();
    expect(() => provider.createBatch().add(dead, memory, 0, 64, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "destroyed" }),
    );
  });

  test("thousands of keys can be in use at once", () => {
    const keys = Array.from({ length: 20_000 }, () => provider.create(keyBytes));
    const packet = new Uint8Array(OVERHEAD + 5_000);
    const [first, last] = [keys[0] as AeadKey, keys.at(-1) as AeadKey];
    first.sealPacket(packet, 0, 5_000, 1, 2, 3);
    expect(last.openPacket(packet, 0, 5_000, 1)).toBe(true);
    for (const key of keys) key.destroy();
  });

  test("a wiped key does nothing any more", () => {
    const key = provider.create(keyBytes);
    key.destroy();
    key.destroy();
    const buffer = new Uint8Array(100);
    const destroyed = expect.objectContaining({ code: "destroyed" });
    expect(() => key.sealPacket(buffer, 0, 16, 0, 0, 0)).toThrow(destroyed);
    expect(() => key.openPacket(buffer, 0, 16, 0)).toThrow(destroyed);
    expect(() => key.seal(new Uint8Array(12), buffer, buffer, 0, 16)).toThrow(destroyed);
    expect(() => key.open(new Uint8Array(12), buffer, buffer, 0, 32)).toThrow(destroyed);
    expect(buffer).toEqual(new Uint8Array(100));
  });

  test("what does not fit is refused and nothing is written", () => {
    const key = provider.create(keyBytes);
    const refused = expect.objectContaining({ code: "invalid-length" });
    const nonce = new Uint8Array(12);
    const none = new Uint8Array(0);
    for (const memory of [new Uint8Array(200), memoryOf(provider, 200)]) {
      const before = memory.slice();
      expect(() => key.sealPacket(memory, 0, 117, 0, 0, 0)).toThrow(refused);
      expect(() => key.sealPacket(memory, -1, 0, 0, 0, 0)).toThrow(refused);
      expect(() => key.sealPacket(memory, Number.NaN, 0, 0, 0, 0)).toThrow(refused);
      expect(() => key.sealPacket(memory, 120, 0, 0, 0, 0)).toThrow(refused);
      expect(() => key.openPacket(memory, 0, -1, 0)).toThrow(refused);
      expect(() => key.openPacket(memory, 120, 0, 0)).toThrow(refused);
      for (const [offset, length] of [
        [0.5, 10],
        [0, 10.5],
        [0.5, 0.5],
      ] as const) {
        expect(() => key.sealPacket(memory, offset, length, 0, 0, 0)).toThrow(refused);
        expect(() => key.openPacket(memory, offset, length, 0)).toThrow(refused);
        expect(() => key.seal(nonce, none, memory, offset, length)).toThrow(refused);
        expect(() => key.open(nonce, none, memory, offset, length + 16)).toThrow(refused);
      }
      expect(() => key.seal(nonce, none, memory, 0, -1)).toThrow(refused);
      expect(() => key.seal(nonce, none, memory, 0, 185)).toThrow(refused);
      expect(() => key.seal(none, none, memory, 0, 1)).toThrow(refused);
      expect(() => key.open(nonce, none, memory, 190, 20)).toThrow(refused);
      expect(memory.slice()).toEqual(before);
    }
    const huge = memoryOf(provider, OVERHEAD + AEAD_MAX_LENGTH + 1);
    expect(() => key.sealPacket(huge, 0, AEAD_MAX_LENGTH + 1, 0, 0, 0)).toThrow(refused);
    expect(() => key.openPacket(huge, 0, AEAD_MAX_LENGTH + 1, 0)).toThrow(refused);
    const large = new Uint8Array(AEAD_MAX_LENGTH + 17);
    expect(() => key.seal(nonce, none, large, 0, AEAD_MAX_LENGTH + 1)).toThrow(refused);
    expect(() => key.open(nonce, none, large, 0, AEAD_MAX_LENGTH + 17)).toThrow(refused);
    expect(() => key.seal(nonce, new Uint8Array(AEAD_MAX_AAD_LENGTH + 1), large, 0, 1)).toThrow(refused);
    expect(key.open(nonce, none, large, 0, 15)).toBe(false);
  });

  test("the largest message with the most associated data goes through, wherever it lies", () => {
    const key = provider.create(keyBytes);
    const nonce = pattern(12, 5);
    const aad = pattern(AEAD_MAX_AAD_LENGTH, 6);
    const plain = pattern(AEAD_MAX_LENGTH, 8);
    for (const offset of [0, 5, 9_000]) {
      const buffer = new Uint8Array(offset + AEAD_MAX_LENGTH + 16);
      buffer.set(plain, offset);
      key.seal(nonce, aad, buffer, offset, plain.length);
      expect(buffer.slice(offset)).toEqual(referenceSeal(keyBytes, nonce, aad, plain));
      expect(key.open(nonce, aad, buffer, offset, plain.length + 16)).toBe(true);
      expect(buffer.slice(offset, offset + plain.length)).toEqual(plain);
    }
  });
});

describe("a provider that computes wrongly", () => {
  const faults: [string, (key: AeadKey) => Partial<AeadKey>][] = [
    ["opens what was tampered with", () => ({ openPacket: () => true })],
    ["opens nothing", () => ({ openPacket: () => false })],
    ["does not encrypt", () => ({ sealPacket: () => {} })],
    [
      "miscomputes long packets",
      (key) => ({
        sealPacket(buffer, offset, length, ...nonce) {
          key.sealPacket(buffer, offset, length, ...nonce);
          if (length > 448) buffer[offset + 68] = (buffer[offset + 68] as number) ^ 1;
        },
      }),
    ],
    [
      "ignores the associated data",
      (key) => ({ seal: (nonce, _aad, ...rest) => key.seal(nonce, new Uint8Array(0), ...rest) }),
    ],
    [
      "looks at a part of the tag only",
      (key) => {
        let tag = new Uint8Array(16);
        return {
          sealPacket(buffer, offset, length, ...nonce) {
            key.sealPacket(buffer, offset, length, ...nonce);
            tag = buffer.slice(offset + 68 + length, offset + 84 + length);
          },
          openPacket(buffer, offset, length, prefix) {
            const end = offset + 68 + length;
            if (buffer[end] === tag[0] && buffer[end + 15] === tag[15]) buffer.set(tag, end);
            return key.openPacket(buffer, offset, length, prefix);
          },
        };
      },
    ],
    [
      "shows the text of a forgery",
      (key) => {
        let plain = new Uint8Array(0);
        return {
          sealPacket(buffer, offset, length, ...nonce) {
            plain = buffer.slice(offset + 68, offset + 68 + length);
            key.sealPacket(buffer, offset, length, ...nonce);
          },
          openPacket(buffer, offset, length, prefix) {
            const isGenuine = key.openPacket(buffer, offset, length, prefix);
            if (!isGenuine) buffer.set(plain, offset + 68);
            return isGenuine;
          },
        };
      },
    ],
    [
      "throws",
      () => ({
        sealPacket() {
          throw new Error("trap");
        },
      }),
    ],
  ];

  test.each(faults)("is refused when it %s", (_, fault) => {
    const broken: AeadProvider = {
      ...nobleAead,
      create(bytes) {
        const key = nobleAead.create(bytes);
        const sound: AeadKey = {
          seal: (...args) => key.seal(...args),
          open: (...args) => key.open(...args),
          sealPacket: (...args) => key.sealPacket(...args),
          openPacket: (...args) => key.openPacket(...args),
          requireAlive: () => key.requireAlive(),
          destroy: () => key.destroy(),
        };
        return { ...sound, ...fault(key) };
      },
    };
    expect(passesSelfTest(broken)).toBe(false);
  });

  test("is refused when only its batches are wrong", () => {
    const broken: AeadProvider = {
      ...nobleAead,
      createBatch() {
        const batch = nobleAead.createBatch();
        return { ...batch, count: 0, add: batch.add.bind(batch), seal() {}, open() {}, opened: () => true };
      },
    };
    expect(passesSelfTest(broken)).toBe(false);
  });
});

test("a provider that does not exist here is refused by name", () => {
  expect(() => aeadProvider("rot13")).toThrow(
    expect.objectContaining({ code: "unknown-provider", value: "rot13" }),
  );
});

test("WebAssembly is the default where it runs", () => {
  expect(aeadProvider().name).toBe("wasm");
});

describe("the memory of the WebAssembly provider", () => {
  const provider = aeadProvider("wasm");
  const { memory } = provider;
  if (memory === undefined) throw new Error("the provider has a memory");
  const whole = new Uint8Array((memory.allocate(64) as Uint8Array).buffer);

  function holds(secret: Uint8Array): boolean {
    outer: for (
      let at = whole.indexOf(secret[0] as number);
      at >= 0;
      at = whole.indexOf(secret[0] as number, at + 1)
    ) {
      for (let i = 1; i < 8; i++) if (whole[at + i] !== secret[i]) continue outer;
      return true;
    }
    return false;
  }

  test("holds a key while it is in use and nothing of it afterwards", () => {
    const source = new CaseSource(99);
    const secret = source.bytes(32);
    const key = provider.create(secret);
    expect(holds(secret)).toBe(true);
    const packet = memory.allocate(1_024) as Uint8Array;
    const text = source.bytes(600);
    const sealed = text.slice();
    key.sealPacket(packet, 0, 600, 1, 2, 3);
    key.seal(source.bytes(12), source.bytes(20), sealed, 0, 584);
    expect(sealed.slice(0, 584)).not.toEqual(text.slice(0, 584));
    expect(key.open(source.bytes(12), new Uint8Array(0), sealed, 0, 600)).toBe(false);
    key.destroy();
    expect(holds(secret)).toBe(false);
    // Neither in the vectors of the kernel, where each of its words stands four times.
    const word = new DataView(secret.buffer).getUint32(8, true);
    const words = new Uint32Array(whole.buffer, 0, 0x800);
    expect([...words.keys()].filter((i) => words[i] === word && words[i + 1] === word)).toEqual([]);
    // Nor any text that was copied there.
    expect(holds(text)).toBe(false);
  });

  // Only Node lets a program ask for a collection.
  test.runIf(isNode)("wipes the keys of those who forget to", async () => {
    const { setFlagsFromString } = await import("node:v8");
    const { runInNewContext } = await import("node:vm");
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const secret = new CaseSource(33).bytes(32);
    provider.create(secret);
    expect(holds(secret)).toBe(true);
    for (let i = 0; i < 100 && holds(secret); i++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(holds(secret)).toBe(false);
  });

  test("keeps nothing of what lay in front of a packet that was copied there", () => {
    const neighbour = new CaseSource(77).bytes(4_000);
    const buffer = new Uint8Array(4_000 + OVERHEAD + 100);
    buffer.set(neighbour);
    const key = provider.create(keyBytes);
    key.sealPacket(buffer, 4_000, 100, 1, 2, 3);
    key.destroy();
    expect(holds(neighbour)).toBe(false);
    expect(holds(neighbour.subarray(3_000))).toBe(false);
  });

  test("takes no packet that lies among its keys or at its very end", () => {
    const source = new CaseSource(55);
    const secret = source.bytes(32);
    const key = provider.create(secret);
    const keyAt = whole.findIndex((_, at) => secret.every((byte, i) => whole[at + i] === byte));
    const foreign = expect.objectContaining({ code: "foreign-memory" });
    const batch = provider.createBatch();
    const none = new Uint8Array(0);
    const before = whole.slice();
    for (const at of [0, 0x400, keyAt, keyAt - OVERHEAD, whole.length - OVERHEAD - 64]) {
      expect(() => key.sealPacket(whole, at, 64, 1, 2, 3)).toThrow(foreign);
      expect(() => key.openPacket(whole, at, 64, 1)).toThrow(foreign);
      expect(() => key.seal(source.bytes(12), none, whole, at + 68, 64)).toThrow(foreign);
      expect(() => key.open(source.bytes(12), none, whole, at + 68, 80)).toThrow(foreign);
      expect(() => batch.add(key, whole, at, 64, 1, 2, 3)).toThrow(foreign);
    }
    expect(whole.every((byte, at) => byte === before[at])).toBe(true);
    key.destroy();
  });

  test("has no more room for keys after 65 535 of them, and then all still work", () => {
    const keys = Array.from({ length: 65_600 }, () => provider.create(keyBytes));
    const last = keys.at(-1) as AeadKey;
    const expected = new Uint8Array(OVERHEAD + 100);
    nobleAead.create(keyBytes).sealPacket(expected, 0, 100, 1, 2, 3);
    for (const buffer of [new Uint8Array(OVERHEAD + 100), memory.allocate(OVERHEAD + 100) as Uint8Array]) {
      buffer.fill(0);
      last.sealPacket(buffer, 0, 100, 1, 2, 3);
      expect(buffer.slice()).toEqual(expected);
      expect(last.openPacket(buffer, 0, 100, 1)).toBe(true);
    }
    expect(() => provider.createBatch().add(last, memory.allocate(256) as Uint8Array, 0, 0, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "foreign-memory" }),
    );
    for (const key of keys) key.destroy();
    expect(() => last.openPacket(expected, 0, 100, 1)).toThrow(
      expect.objectContaining({ code: "destroyed" }),
    );
  });

  test("is the only place for packets of a batch", () => {
    const cipher = new PacketCipher(keyBytes, 5n, provider);
    const batch = provider.createBatch();
    expect(() => cipher.addTo(batch, new Uint8Array(200), 0, 20, 0, 0)).toThrow(
      expect.objectContaining({ code: "foreign-memory" }),
    );
    const packet = memory.allocate(200) as Uint8Array;
    expect(() => batch.add(nobleAead.create(keyBytes), packet, 0, 20, 0, 0, 0)).toThrow(
      expect.objectContaining({ code: "foreign-memory" }),
    );
    const other = packet.slice(0, OVERHEAD + 20);
    cipher.addTo(batch, packet, 0, 20, 7, 0);
    batch.seal();
    cipher.sealPacket(other, 0, 20, 7, 0);
    expect(packet.slice(0, OVERHEAD + 20)).toEqual(other);
  });
});
