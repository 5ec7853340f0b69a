export { whyUnavailable } from "./availability.ts";
export type { DelayOptions } from "./delay-line.ts";
export { NatLab, type NatLabOptions } from "./nat-lab.ts";
export type { Unsolicited } from "./nat-rules.ts";
export {
  HOUSEHOLDS,
  type Household,
  MESH_PORT,
  type NatKind,
  PINNED_PORT,
  type Place,
  PUBLIC_HOSTS,
  type Side,
} from "./plan.ts";
export type { DaemonOptions, RouterDaemon } from "./router-daemon.ts";
