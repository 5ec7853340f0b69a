import { SeededRandom } from "@netmesh/mesh/testing";
import type { ExperimentResult } from "../experiment.ts";
import { type ModelledTraffic, modelTraffic } from "../model.ts";
import type { Report } from "../report.ts";
import type { FloodMode } from "../simulation.ts";
import { makeTopology, TOPOLOGIES } from "../topology.ts";
import { type LineChart, renderLineChart, type Series } from "./line-chart.ts";

const NODES = "nodes";
const RATE = "bytes per node and second";
const COUNTED_SIZES: readonly number[] = [10, 100, 1_000, 10_000];
const COUNTED_SEED = 1;
/** Size of the datagrams in which simulated nodes announce themselves. */
const ANNOUNCEMENT_BYTES = 550;

type Reading = (result: ExperimentResult) => number | null | undefined;

/** The plots of a report, as SVG by the name of the file. Those for which nothing was measured are left out. */
export function drawPlots({ results }: Report): Map<string, string> {
  const plots = new Map<string, string>();
  if (results.length === 0) return plots;
  const add = (name: string, chart: Omit<LineChart, "xLabel"> & { readonly xLabel?: string }) => {
    if (chart.series.length > 0) plots.set(name, renderLineChart({ xLabel: NODES, ...chart }));
  };
  const plain = (title: string, yLabel: string, read: Reading, isLinear = false) => ({
    title,
    yLabel,
    isLinear,
    series: lines(results, "scoped", read),
  });
  add("control-bytes", {
    title: "Control traffic",
    yLabel: RATE,
    series: [
      ...lines(results, "scoped", (r) => r.controlBytes),
      ...counted("scoped", total),
      ...counted("flood", total),
    ],
  });
  add("announcement-bytes", {
    title: "Control traffic: announcements",
    yLabel: RATE,
    series: [
      ...lines(results, "scoped", (r) => r.controlBytesBy.announcement),
      ...counted("scoped", ({ announcement }) => announcement),
      ...counted("flood", ({ announcement }) => announcement),
    ],
  });
  add("model", {
    title: "Floods only: simulated and counted",
    yLabel: RATE,
    series: [...lines(results, "flood", (r) => r.controlBytes), ...counted("flood", total)],
  });
  add(
    "memory",
    plain("Memory", "KiB per node", (r) => r.memoryBytesPerNode && r.memoryBytesPerNode / 1_024),
  );
  add(
    "known-nodes",
    plain("Announcements that a node holds", "announcements", (r) => r.knownByAnnouncement),
  );
  add(
    "lookup-bytes",
    plain("Finding a node 5 to 16 hops away", "bytes, all nodes together", (r) => r.far?.bytes),
  );
  add(
    "lookup-time",
    plain("Finding a node 5 to 16 hops away", "milliseconds", (r) => r.far?.milliseconds),
  );
  add(
    "convergence",
    plain("Convergence", "seconds until near pairs have a way", (r) => r.convergenceS, true),
  );
  const near = lines(results, "scoped", (r) => r.nearStretch);
  const far = lines(results, "scoped", (r) => r.far?.stretch).map((line) => ({
    ...line,
    name: `${line.name} (looked up)`,
    dashes: "6 4",
  }));
  const series = [...near, ...far];
  add("stretch", { title: "Length of ways over the shortest", yLabel: "stretch", series, isLinear: true });
  add("healing", {
    title: "Healing after nodes are killed",
    xLabel: "share of the nodes killed",
    yLabel: "seconds",
    series: healing(results),
    isLinear: true,
  });
  add(
    "merge",
    plain("Merging after a partition of 40 s", "seconds", (r) => r.mergeS, true),
  );
  return plots;
}

function lines(results: readonly ExperimentResult[], mode: FloodMode, read: Reading): Series[] {
  return TOPOLOGIES.flatMap((topology, color) => {
    const points = results.flatMap((result): [number, number][] => {
      const value = result.topology === topology && result.mode === mode ? read(result) : undefined;
      return value === null || value === undefined ? [] : [[result.nodes, value]];
    });
    if (points.length === 0) return [];
    points.sort((a, b) => a[0] - b[0]);
    return [{ name: topology, points, color }];
  });
}

/** Lines of what the rules of floods make of meshes, also of those that are too large to be simulated. */
function counted(mode: FloodMode, read: (traffic: ModelledTraffic) => number): Series[] {
  return TOPOLOGIES.map((topology, color) => ({
    name: `${topology}, ${mode === "flood" ? "floods only" : "counted"}`,
    color,
    dashes: mode === "flood" ? "6 4" : "2 4",
    points: COUNTED_SIZES.map((nodes): [number, number] => {
      const mesh = makeTopology(topology, nodes, new SeededRandom(COUNTED_SEED));
      return [nodes, read(modelTraffic(mesh, mode, ANNOUNCEMENT_BYTES))];
    }),
  }));
}

function total({ heartbeat, pingwave, announcement }: ModelledTraffic): number {
  return heartbeat + pingwave + announcement;
}

/** For each shape, the largest mesh in which nodes were killed. */
function healing(results: readonly ExperimentResult[]): Series[] {
  return TOPOLOGIES.flatMap((topology, color) => {
    const simulated = results.filter((result) => result.topology === topology && result.healing.length > 0);
    const largest = simulated.sort((a, b) => b.nodes - a.nodes)[0];
    if (largest === undefined) return [];
    const points = largest.healing.flatMap(({ killed, healedS }): [number, number][] =>
      healedS === null ? [] : [[killed, healedS]],
    );
    return points.length === 0 ? [] : [{ name: `${topology}, ${largest.nodes}`, points, color }];
  });
}
