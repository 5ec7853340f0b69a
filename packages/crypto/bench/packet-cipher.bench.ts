import { bench, describe } from "vitest";
import { aeadProvider, aeadProviderNames, PacketCipher, ReplayWindow } from "../src/index.ts";

const key = new Uint8Array(32).fill(7);

describe.each([0, 64, 256, 1200, 8108])("%i bytes of payload", (length) => {
  for (const name of aeadProviderNames()) {
    const cipher = new PacketCipher(key, 1n, aeadProvider(name));
    const packet = new Uint8Array(68 + length + 16);
    let counter = 0;
    bench(`seal (${name})`, () => {
      cipher.sealPacket(packet, 0, length, counter++, 0);
    });
    const sealed = packet.slice();
    cipher.sealPacket(sealed, 0, length, 0, 0);
    const buffer = new Uint8Array(sealed.length);
    bench(`copy and open (${name})`, () => {
      buffer.set(sealed);
      if (cipher.openPacket(buffer, 0, buffer.length) !== length) throw new Error("did not open");
    });
  }
});

describe("the replay window", () => {
  const window = new ReplayWindow();
  let counter = 0;
  bench("commit in order", () => {
    window.commit(counter++, 0);
  });
});
