import { project } from "@netmesh/vitest-config";

export default project("scale");
