import { preset } from "@netmesh/tsup-config";

export default preset({
  entry: ["src/index.ts", "src/node/index.ts", "src/node/daemon-thread.ts", "src/node/sqlite-thread.ts"],
  platform: "node",
});
