import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { whyUnavailable } from "./src/availability.ts";

const summary = fileURLToPath(new URL("../vitest/summary.js", import.meta.url));
const reason = whyUnavailable();
const note = `the router laboratory was skipped: ${reason}`;

/** What needs routers, run between network namespaces: `pnpm test:nat`, as root on Linux. */
export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  test: {
    projects: ["packages/*/vitest.nat.config.ts", "apps/*/vitest.nat.config.ts"],
    // Laboratories mostly wait; those that measure say so in their own configuration, and run alone.
    maxWorkers: 2,
    reporters: ["default", [summary, reason === undefined ? {} : { note }]],
  },
});
