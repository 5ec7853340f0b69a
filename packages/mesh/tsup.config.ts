import { preset } from "@netmesh/tsup-config";

export default preset({ entry: ["src/index.ts", "src/testing/index.ts"] });
