import { defineConfig } from "tsup";

/** The one build recipe of the monorepo: ESM only, Node >= 20.19, one chunk graph, d.ts + maps. */
export function preset(options = {}) {
  return defineConfig({
    entry: ["src/index.ts"],
    format: ["esm"],
    target: "node20",
    platform: "neutral",
    dts: false,
    sourcemap: true,
    splitting: true,
    treeshake: true,
    clean: true,
    outDir: "dist",
    ...options,
  });
}
