import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import browser from "./browser.config.ts";
import { chromium } from "./chromium.ts";
import node from "./vitest.config.ts";

const summary = fileURLToPath(new URL("./summary.js", import.meta.url));
const note = "the browser suite was skipped: no Chromium here (install one or set CHROMIUM_PATH)";

/** All tests in Node, then those of the platform-neutral packages again in Chromium: one run, one count. */
export default defineConfig({
  ...node,
  test: {
    ...node.test,
    projects: [...(node.test?.projects ?? []), ...(chromium === undefined ? [] : [browser])],
    reporters: ["default", [summary, chromium === undefined ? { note } : {}]],
  },
});
