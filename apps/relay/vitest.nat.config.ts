import { project } from "@netmesh/vitest-config";

export default project("relay-nat", { include: ["test-nat/**/*.test.ts"], hookTimeout: 60_000 });
