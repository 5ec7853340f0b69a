import { fileURLToPath } from "node:url";
import { playwright } from "@vitest/browser-playwright";
import { defaultClientConditions } from "vite";
import { defineConfig } from "vitest/config";
import { chromium } from "./chromium.ts";

/** The platform-neutral packages, tested in a real browser: `pnpm test:browser`. */
const neutral = ["wire", "crypto", "pool", "routing", "compute", "mesh"];

export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  resolve: { conditions: ["@netmesh/source", ...defaultClientConditions] },
  // Nothing is bundled on the way: Vite would reload the page, tests and all, when it finds one thing more.
  optimizeDeps: { noDiscovery: true, include: ["fast-check"] },
  server: {
    // Cross-origin isolation, without which a page has no SharedArrayBuffer.
    headers: {
      "Cross-Origin-Opener-Policy": "same-origin",
      "Cross-Origin-Embedder-Policy": "require-corp",
    },
  },
  test: {
    name: "browser",
    include: neutral.map((name) => `packages/${name}/test/**/*.test.ts`),
    // What their entry points for Node do is tested in Node alone, and so are long simulations that ask nothing of the platform.
    exclude: [
      "packages/*/test/node/**",
      "packages/compute/test/model/**",
      "packages/crypto/test/token-cache.test.ts",
      "packages/mesh/test/{handshake-tampering,healing,path-mtu,random-scenarios,rekeying}.test.ts",
    ],
    testTimeout: 60_000,
    browser: {
      enabled: true,
      headless: true,
      screenshotFailures: false,
      api: { host: "127.0.0.1", port: 0 },
      provider: playwright({
        launchOptions: {
          executablePath: chromium ?? "chromium",
          args: [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
          ],
        },
      }),
      instances: [{ browser: "chromium" }],
    },
  },
});
