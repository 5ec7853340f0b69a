import { SeededRandom } from "@netmesh/mesh/testing";
import { describe, expect, it } from "vitest";
import { drawPlots } from "../src/chart/plots.ts";
import { type ExperimentOptions, type ExperimentResult, runExperiment } from "../src/experiment.ts";
import { modelTraffic } from "../src/model.ts";
import { parseReport, REPORT_SCHEMA, type Report, withResult } from "../src/report.ts";
import { parseSettings } from "../src/settings.ts";
import type { FloodMode } from "../src/simulation.ts";
import { makeTopology, TOPOLOGIES } from "../src/topology.ts";

const SMALL: ExperimentOptions = {
  topology: "random",
  nodes: 15,
  mode: "scoped",
  seed: 3,
  withFailures: true,
};
const NONE: Report = { schema: REPORT_SCHEMA, results: [] };

function run(options: Partial<ExperimentOptions> = {}): ExperimentResult {
  return runExperiment({ ...SMALL, ...options }, () => undefined);
}

describe("a topology", () => {
  it("is connected, and the same one for the same seed", () => {
    for (const name of TOPOLOGIES) {
      for (const size of [10, 100, 1_000]) {
        const topology = makeTopology(name, size, new SeededRandom(2));
        const hops = topology.distances(0, () => true);
        expect(Math.min(...hops), `${name} of ${size}`).toBe(0);
        expect(Math.max(...hops)).toBeGreaterThan(1);
        const again = makeTopology(name, size, new SeededRandom(2));
        expect([...again.links()]).toEqual([...topology.links()]);
      }
    }
  });

  it("has few links a node, the stars apart", () => {
    for (const name of TOPOLOGIES) {
      const topology = makeTopology(name, 1_000, new SeededRandom(2));
      const most = Math.max(...topology.neighbors.map(({ size }) => size));
      if (name === "stars") expect(most).toBeGreaterThan(25);
      else expect(most).toBeLessThanOrEqual(8);
    }
  });
});

describe("a simulated mesh", () => {
  it("converges, heals and merges, and has the same figures for the same seed", () => {
    const result = run();
    expect(result.convergenceS).toBeLessThan(10);
    expect(result.nearStretch).toBe(1);
    expect(result.mergeS).toBeLessThan(10);
    expect(result.healing.map(({ healedS }) => healedS !== null && healedS < 30)).toEqual([true, true, true]);
    const { realS: _, ...figures } = result;
    const { realS: __, ...again } = run();
    expect(again).toEqual(figures);
  });

  it("spends no more on announcements when it is larger than floods reach", () => {
    const measure = (nodes: number, mode: FloodMode) =>
      run({ nodes, mode, floodNodes: 13, withFailures: false }).controlBytesBy.announcement;
    const [small, large] = [measure(40, "scoped"), measure(80, "scoped")];
    expect(large).toBeLessThan(1.3 * small);
    expect(measure(80, "flood")).toBeGreaterThan(2 * large);
  });

  it("finds every node within sixteen hops of a ring", () => {
    const { far } = run({ topology: "ring", nodes: 60, withFailures: false });
    expect(far?.reachableAfter).toBe(1);
    expect(far?.stretch).toBe(1);
  });
});

describe("a report", () => {
  it("keeps one result of a mesh, the last, and survives being written", () => {
    const result = run({ nodes: 10, withFailures: false });
    const report = withResult(withResult(NONE, result), { ...result, controlBytes: 1 });
    expect(report.results.map(({ controlBytes }) => controlBytes)).toEqual([1]);
    expect(parseReport(JSON.stringify(report))).toEqual(report);
    expect(() => parseReport('{"schema":0}')).toThrow("schema 0");
  });

  it("becomes plots with a line for every topology", () => {
    let report = NONE;
    for (const nodes of [10, 20]) {
      for (const topology of TOPOLOGIES) report = withResult(report, run({ topology, nodes }));
    }
    const plots = drawPlots(report);
    expect([...plots.keys()]).toContain("control-bytes");
    for (const svg of plots.values()) expect(svg).toMatch(/^<svg [^>]*viewBox[\s\S]*<\/svg>\n$/);
    expect(plots.get("convergence")?.match(/<polyline/g)).toHaveLength(TOPOLOGIES.length);
    expect(drawPlots(NONE).size).toBe(0);
  });
});

describe("the model", () => {
  it("counts what a simulation measures where everything is flooded", () => {
    const mesh = makeTopology("random", 60, new SeededRandom(SMALL.seed));
    const { controlBytesBy } = run({ nodes: 60, mode: "flood", withFailures: false });
    const counted = modelTraffic(mesh, "flood", 550);
    for (const kind of ["heartbeat", "pingwave", "announcement"] as const) {
      expect(Math.abs(counted[kind] / controlBytesBy[kind] - 1), kind).toBeLessThan(0.2);
    }
  });
});

describe("the command line", () => {
  it("names meshes by size and shape", () => {
    const settings = parseSettings(["--sizes", "10,20", "--topologies", "ring"], "/root");
    expect(settings.sizes).toEqual([10, 20]);
    expect(settings.topologies).toEqual(["ring"]);
    expect(settings.modes).toEqual(["flood", "scoped"]);
  });

  it("is refused with what it cannot mean", () => {
    for (const args of [["--sizes", "ten"], ["--sizes", "0"], ["--topologies", "square"], ["--what"]]) {
      expect(() => parseSettings(args, "/root")).toThrow();
    }
  });
});
