import type { ExperimentResult } from "../experiment.ts";
import type { Report } from "../report.ts";
import type { FloodMode } from "../simulation.ts";
import { TOPOLOGIES } from "../topology.ts";
import { type LineChart, renderLineChart, type Series } from "./line-chart.ts";

const NODES = "nodes";

/** The plots of a report, as SVG by the name of the file. Those for which nothing was measured are left out. */
export function drawPlots({ results }: Report): Map<string, string> {
  const plots = new Map<string, string>();
  const add = (name: string, chart: Omit<LineChart, "xLabel"> & { readonly xLabel?: string }) => {
    if (chart.series.length > 0) plots.set(name, renderLineChart({ xLabel: NODES, ...chart }));
  };
  const compared = (title: string, yLabel: string, read: Reading) => ({
    title,
    yLabel,
    series: [...lines(results, "scoped", read), ...lines(results, "flood", read)],
  });
  const plain = (title: string, yLabel: string, read: Reading) => ({
    title,
    yLabel,
    series: lines(results, "scoped", read),
  });
  add(
    "control-bytes",
    compared("Control traffic", "bytes per node and second", (r) => r.controlBytes),
  );
  add(
    "announcement-bytes",
    compared(
      "Control traffic: announcements",
      "bytes per node and second",
      (r) => r.controlBytesBy.announcement,
    ),
  );
  add(
    "memory",
    plain("Memory", "KiB per node", (r) => (r.memoryBytesPerNode ?? 0) / 1_024),
  );
  add(
    "known-nodes",
    plain("Nodes whose announcement a node holds", "nodes", (r) => r.knownByAnnouncement),
  );
  add(
    "lookup-bytes",
    plain("Finding a node 5 to 16 hops away", "bytes, all nodes together", (r) => r.far?.bytes),
  );
  add(
    "lookup-time",
    plain("Finding a node 5 to 16 hops away", "milliseconds", (r) => r.far?.milliseconds),
  );
  const isLinear = true;
  add("convergence", {
    ...plain("Convergence", "seconds until near pairs have a way", (r) => r.convergenceS),
    isLinear,
  });
  const near = lines(results, "scoped", (r) => r.nearStretch);
  const far = lines(results, "scoped", (r) => r.far?.stretch, " (looked up)").map((line) => ({
    ...line,
    isDashed: true,
  }));
  add("stretch", {
    title: "Length of ways over the shortest",
    yLabel: "stretch",
    series: [...near, ...far],
    isLinear,
  });
  add("healing", {
    title: "Healing after nodes are killed: largest mesh in which it was simulated",
    xLabel: "share of the nodes killed",
    yLabel: "seconds",
    series: healing(results),
    isLinear,
  });
  add("merge", { ...plain("Merging after a partition of 40 s", "seconds", (r) => r.mergeS), isLinear });
  return plots;
}

type Reading = (result: ExperimentResult) => number | null | undefined;

function lines(
  results: readonly ExperimentResult[],
  mode: FloodMode,
  read: Reading,
  suffix: string = mode === "flood" ? " (floods only)" : "",
): Series[] {
  return TOPOLOGIES.flatMap((topology, color) => {
    const points = results.flatMap((result): [number, number][] => {
      const value = result.topology === topology && result.mode === mode ? read(result) : undefined;
      return value === null || value === undefined ? [] : [[result.nodes, value]];
    });
    if (points.length === 0) return [];
    points.sort((a, b) => a[0] - b[0]);
    return [{ name: topology + suffix, points, color, isDashed: mode === "flood" }];
  });
}

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
