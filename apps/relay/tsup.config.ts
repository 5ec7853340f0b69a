import { preset } from "@netmesh/tsup-config";

export default preset({ entry: ["src/cli.ts", "src/netmesh.ts"], platform: "node" });
