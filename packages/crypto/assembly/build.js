// Compiles the kernel and embeds it: `node assembly/build.js`. The result is committed, so that the sources run without a
// build; a test holds it against a fresh compilation.
import { readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import asc from "assemblyscript/asc";

const folder = new URL("./", import.meta.url);
const target = new URL("../src/aead/kernel-binary.ts", import.meta.url);

/** The WebAssembly module as bytes. */
export async function compile() {
  let binary;
  const { error, stderr } = await asc.main(
    [
      "chacha20-poly1305.ts",
      ..."--outFile kernel.wasm -O3 --converge --noAssert --runtime stub --enable simd".split(" "),
      ..."--importMemory --initialMemory 64".split(" "),
    ],
    {
      readFile: (name, base) => readFile(new URL(`${base}/${name}`, folder), "utf8").catch(() => null),
      writeFile: (name, contents) => {
        if (name === "kernel.wasm") binary = contents;
      },
      listFiles: () => [],
    },
  );
  if (error) throw new Error(`asc: ${stderr.toString()}`, { cause: error });
  return binary;
}

/** The source file that embeds those bytes. */
export function embed(binary) {
  const lines = Buffer.from(binary)
    .toString("base64")
    .match(/.{1,100}/g);
  return `// Made by assembly/build.js from assembly/chacha20-poly1305.ts; do not edit.

/** The compiled kernel, a WebAssembly module in base64. */
export const KERNEL: string =
${lines.map((line) => `  "${line}"`).join(" +\n")};
`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const source = embed(await compile());
  const present = await readFile(target, "utf8").catch(() => "");
  if (present !== source) {
    await writeFile(target, source);
    console.log(`kernel-binary.ts: ${source.length} bytes`);
  }
}
