import { project } from "@netmesh/vitest-config";

/** What is measured is measured alone: one laboratory at a time, after those of other packages. */
export default project("sdk-nat", {
  include: ["test-nat/**/*.test.ts"],
  hookTimeout: 60_000,
  maxWorkers: 1,
  sequence: { groupOrder: 1 },
});
