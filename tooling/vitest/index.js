import { defaultClientConditions, defaultServerConditions } from "vite";
import { defineProject } from "vitest/config";

/** Workspace packages resolve to their TypeScript sources; nothing has to be built before tests. */
export const SOURCE = "@netmesh/source";

/**
 * What a Node process needs to run the sources as they are: the export condition, and, before
 * Node 22.18, a loader that strips types. Worker threads inherit both.
 */
export const sourceArgv = [
  `--conditions=${SOURCE}`,
  ...(process.features.typescript ? [] : [`--import=${new URL("./typescript.js", import.meta.url).href}`]),
];

/** Vitest project of one package: `export default project("wire")`. */
export function project(name, test = {}) {
  return defineProject({
    resolve: { conditions: [SOURCE, ...defaultClientConditions] },
    ssr: {
      resolve: { conditions: [SOURCE, ...defaultServerConditions], externalConditions: [SOURCE, "node"] },
    },
    test: {
      name,
      environment: "node",
      include: ["test/**/*.test.ts"],
      testTimeout: 60_000,
      execArgv: sourceArgv,
      ...test,
    },
  });
}
