import { preset } from "@netmesh/tsup-config";

export default preset({
  entry: ["src/index.ts", "src/node/index.ts", "src/testing/index.ts"],
  platform: "node",
});
