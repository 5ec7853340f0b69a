import { afterEach, expect, test, vi } from "vitest";
import { KERNEL } from "../src/aead/kernel-binary.ts";

const isNode = typeof process !== "undefined" && process.versions?.node !== undefined;

afterEach(() => {
  vi.unstubAllGlobals();
  vi.resetModules();
});

// The compiler needs Node.
test.runIf(isNode)("the embedded kernel is what its source compiles to", { timeout: 120_000 }, async () => {
  const { compile } = await import("../assembly/build.js");
  expect(Buffer.from(await compile()).toString("base64")).toBe(KERNEL);
});

test("without WebAssembly everything works with noble", async () => {
  vi.stubGlobal("WebAssembly", undefined);
  vi.resetModules();
  const { aeadProvider, aeadProviderNames, PacketCipher } = await import("../src/index.ts");
  expect(aeadProvider().name).toBe("noble");
  expect(aeadProviderNames()).not.toContain("wasm");
  expect(() => aeadProvider("wasm")).toThrow(expect.objectContaining({ code: "unknown-provider" }));
  const cipher = new PacketCipher(new Uint8Array(32), 1n);
  const packet = new Uint8Array(184);
  expect(cipher.sealPacket(packet, 0, 100, 0, 0)).toBe(184);
  expect(cipher.openPacket(packet, 0, 184)).toBe(100);
});

test("where a content policy forbids compiling everything works with noble", async () => {
  vi.stubGlobal("WebAssembly", {
    Module: class {
      constructor() {
        throw new Error("Refused to compile WebAssembly module: 'unsafe-eval' is not an allowed source");
      }
    },
  });
  vi.resetModules();
  const { aeadProvider } = await import("../src/index.ts");
  expect(aeadProvider().name).toBe("noble");
});

test("a kernel that was tampered with is not used", async () => {
  // The first round constant of ChaCha20, 0x61707865, in the middle of an instruction.
  const bytes = Uint8Array.from(atob(KERNEL), (character) => character.charCodeAt(0));
  const at = bytes.findIndex((_, i) => bytes[i] === 0x65 && bytes[i + 1] === 0x78 && bytes[i + 2] === 0x70);
  expect(at).toBeGreaterThan(0);
  bytes[at] = 0x66;
  vi.resetModules();
  vi.doMock("../src/aead/kernel-binary.ts", () => ({ KERNEL: btoa(String.fromCharCode(...bytes)) }));
  const { aeadProvider } = await import("../src/index.ts");
  expect(aeadProvider().name).toBe("noble");
  vi.doUnmock("../src/aead/kernel-binary.ts");
});
