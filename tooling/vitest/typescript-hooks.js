import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

/** Where stripped modules are kept, by the hash of what they are made of: most processes of the tests load the same ones. */
const cache = new URL("../../node_modules/.cache/netmesh-typescript/", import.meta.url);
/** Changes with whatever else decides about the result. */
const SETTINGS = "esbuild, ts, esm, node20, inline source map, 1";

let esbuild;

/** Module customization hook: strips the types of `.ts` modules. */
export async function load(url, context, nextLoad) {
  if (!/^file:.*\.ts(\?|$)/.test(url)) return nextLoad(url, context);
  const text = await readFile(new URL(url), "utf8");
  const hash = createHash("sha256").update(SETTINGS).update(url).update("\0").update(text).digest("hex");
  const source = cached(hash) ?? (await strip(url, text, hash));
  return { format: "module", source, shortCircuit: true };
}

function cached(hash) {
  try {
    return readFileSync(new URL(`${hash}.js`, cache), "utf8");
  } catch {
    return undefined;
  }
}

async function strip(url, text, hash) {
  esbuild ??= await import("esbuild");
  const { code } = await esbuild.transform(text, {
    loader: "ts",
    format: "esm",
    target: "node20",
    sourcefile: fileURLToPath(url),
    sourcemap: "inline",
  });
  try {
    mkdirSync(cache, { recursive: true });
    const unfinished = new URL(`${hash}.${process.pid}`, cache);
    writeFileSync(unfinished, code);
    renameSync(unfinished, new URL(`${hash}.js`, cache));
  } catch {
    // Without a cache it takes longer.
  }
  return code;
}
