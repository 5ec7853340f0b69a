import { expect, test } from "vitest";

// The page under test is a frame with a policy of its own, which imports the sources as this page does.
interface Frame {
  srcdoc: string;
  remove(): void;
}

interface Page {
  document?: { createElement(tag: "iframe"): Frame; body: { append(child: Frame): void } };
  location: { origin: string };
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  removeEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
}

const page = globalThis as unknown as Page;

/** What a page under that policy seals with, and whether it can open it again. */
function sealUnder(policy: string): Promise<unknown> {
  const { document } = page;
  if (document === undefined) throw new Error("only a browser has pages");
  const source = new URL("../src/index.ts", import.meta.url).pathname;
  const frame = document.createElement("iframe");
  frame.srcdoc = `<!doctype html>
    <meta http-equiv="Content-Security-Policy" content="${policy}">
    <script type="module">
      import { aeadProvider, aeadProviderNames, PacketCipher } from "${source}";
      const cipher = new PacketCipher(new Uint8Array(32), 1n);
      const packet = new Uint8Array(184);
      cipher.sealPacket(packet, 0, 100, 0, 0);
      parent.postMessage({
        policy: ${JSON.stringify(policy)},
        name: aeadProvider().name,
        names: aeadProviderNames(),
        opened: cipher.openPacket(packet, 0, 184),
      }, "*");
    </script>`;
  return new Promise((resolve) => {
    const listener = ({ data }: { data: unknown }): void => {
      if ((data as { policy?: string } | null)?.policy !== policy) return;
      page.removeEventListener("message", listener);
      frame.remove();
      resolve(data);
    };
    page.addEventListener("message", listener);
    document.body.append(frame);
  });
}

// Node has no content security policy.
test.runIf(page.document)("a page that allows WebAssembly but no eval seals with the kernel", async () => {
  expect(await sealUnder("script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'")).toMatchObject({
    name: "wasm",
    names: ["wasm", "noble"],
    opened: 100,
  });
});

test.runIf(page.document)("a page that allows no WebAssembly seals with noble", async () => {
  expect(await sealUnder("script-src 'self' 'unsafe-inline'")).toMatchObject({
    name: "noble",
    names: ["noble"],
    opened: 100,
  });
});
