import { fileURLToPath } from "node:url";
import { defineConfig, type UserWorkspaceConfig } from "vitest/config";
import { project } from "./index.js";

/** The tests of the SDK that talk over UDP, once more on sockets other than the best of the machine. */
const onSocket = (name: string, socket: object): UserWorkspaceConfig => ({
  ...project(`sdk-${name}`, {
    include: ["test/{connecting,flood,listeners,pitfalls,security,streams}.test.ts"],
    env: { NETMESH_TEST_SOCKET: JSON.stringify(socket) },
  }),
  root: fileURLToPath(new URL("../../packages/sdk", import.meta.url)),
});

export default defineConfig({
  root: fileURLToPath(new URL("../..", import.meta.url)),
  test: {
    projects: [
      "packages/*/vitest.config.ts",
      "apps/*/vitest.config.ts",
      "examples/*/vitest.config.ts",
      onSocket("portable", { mode: "portable" }),
      onSocket("batched", { mode: "batched", offload: false }),
    ],
    // All of them, not all but one, of which two cores would leave one.
    maxWorkers: "100%",
    reporters: ["default", fileURLToPath(new URL("./summary.js", import.meta.url))],
    coverage: {
      provider: "v8",
      include: ["packages/*/src/**/*.ts", "apps/*/src/**/*.ts"],
      reporter: ["text", "html", "json-summary"],
      reportsDirectory: "coverage",
      thresholds: {
        "packages/{wire,crypto,pool,routing}/src/**": { branches: 95 },
        "packages/compute/src/{groups,placement,runtime,state}/**": { branches: 95 },
      },
    },
  },
});
