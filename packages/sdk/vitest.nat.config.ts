import { project } from "@netmesh/vitest-config";

export default project("sdk-nat", { include: ["test-nat/**/*.test.ts"], hookTimeout: 60_000 });
