import { describe, expect, test } from "vitest";
import { type Koffi, opensslAead } from "../src/aead/openssl.ts";
import { optionalPackage } from "../src/aead/optional-package.ts";
import { aeadProvider } from "../src/index.ts";
import { pattern } from "./support/vectors.ts";

const koffi = optionalPackage("koffi") as Koffi | undefined;
const memory = koffi === undefined ? undefined : aeadProvider().memory;

describe("OpenSSL is not there", () => {
  test("without the package koffi", () => {
    expect(opensslAead(undefined)?.name).toBe(koffi === undefined ? undefined : "native");
  });

  test("when the process does not show it", () => {
    const silent: Koffi = {
      load: () => ({
        func() {
          throw new Error("no such symbol");
        },
      }),
      address: () => 0n,
    };
    expect(opensslAead(silent)).toBeUndefined();
  });

  test.each([
    ["has no memory for a context", 0],
    ["refuses the cipher, as one in FIPS mode does", 2],
  ])("when it %s", (_, result) => {
    const refusing: Koffi = { load: () => ({ func: () => () => result }), address: () => 0n };
    expect(opensslAead(refusing)).toBeUndefined();
  });
});

describe.runIf(koffi !== undefined && memory !== undefined)("OpenSSL", () => {
  test("keeps nothing of a wiped key or of what it has sealed where it was told of them", () => {
    const shown: Uint8Array[] = [];
    const watched: Koffi = {
      load: (library) => (koffi as Koffi).load(library),
      address(bytes) {
        shown.push(bytes);
        return (koffi as Koffi).address(bytes);
      },
    };
    const key = opensslAead(watched)?.create(pattern(32, 3));
    const own = shown[0] as Uint8Array;
    key?.sealPacket(pattern(4_000, 1), 0, 3_000, 1, 2, 3);
    expect(own.some((byte) => byte !== 0)).toBe(true);
    key?.destroy();
    key?.destroy();
    expect(own.every((byte) => byte === 0)).toBe(true);
  });

  test("leaves no plain text of a packet that is not genuine, wherever it lies", () => {
    const key = opensslAead()?.create(pattern(32, 3));
    const packet = pattern(1_084, 5);
    key?.sealPacket(packet, 0, 1_000, 1, 2, 3);
    packet[1_070] = (packet[1_070] as number) ^ 1;
    const slot = memory?.allocate(1_084) as Uint8Array<ArrayBuffer>;
    slot.set(packet);
    const plain = pattern(1_084, 5).subarray(68, 1_068);
    for (const place of [packet, slot]) {
      expect(key?.openPacket(place, 0, 1_000, 1)).toBe(false);
      expect(place.subarray(68, 1_068)).not.toEqual(plain);
    }
    memory?.release(slot);
  });

  test("takes no packet that lies among the keys of the WebAssembly kernel", () => {
    const key = opensslAead()?.create(pattern(32, 3));
    const slot = memory?.allocate(256) as Uint8Array<ArrayBuffer>;
    const all = new Uint8Array(slot.buffer);
    memory?.release(slot);
    expect(() => key?.sealPacket(all, 0, 64, 1, 2, 3)).toThrow(
      expect.objectContaining({ code: "foreign-memory" }),
    );
    expect(() => key?.openPacket(all, all.length - 148, 64, 1)).toThrow(
      expect.objectContaining({ code: "foreign-memory" }),
    );
  });
});
