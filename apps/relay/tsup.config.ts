import { preset } from "@netmesh/tsup-config";

export default preset({ entry: ["src/cli.ts"], platform: "node" });
