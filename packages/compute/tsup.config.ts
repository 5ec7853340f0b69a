import { preset } from "@netmesh/tsup-config";

export default preset();
