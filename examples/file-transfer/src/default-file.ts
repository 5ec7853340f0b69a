import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const MIN_BYTES = 8 << 20;
const SOURCE = /\.(?:ts|js|mjs|json|md)$/;

/** Writes a file of at least 8 MiB, made of the sources that are installed below `root`. */
export async function makeDefaultFile(root: string, path: string): Promise<void> {
  const out = createWriteStream(path, { mode: 0o600 });
  let bytes = 0;
  for (const folder of ["packages", "apps", "examples", "node_modules/typescript/lib"]) {
    for (const file of await sourcesBelow(join(root, folder))) {
      if (bytes >= MIN_BYTES) break;
      const content = await readFile(file);
      bytes += content.length;
      if (!out.write(content)) await once(out, "drain");
    }
  }
  // A stripped installation may be smaller: fill up with what can be told apart from its beginning.
  for (let block = 0; bytes < MIN_BYTES; block++) {
    const line = Buffer.from(`block ${block} of the default file\n`.repeat(1_000));
    bytes += line.length;
    if (!out.write(line)) await once(out, "drain");
  }
  out.end();
  await once(out, "finish");
}

async function sourcesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  const found: string[] = [];
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isDirectory() && entry.name !== "node_modules" && entry.name !== "dist") {
      found.push(...(await sourcesBelow(path)));
    } else if (entry.isFile() && SOURCE.test(entry.name)) found.push(path);
  }
  return found;
}
