import { parseArgs } from "node:util";
import type { FloodMode } from "./simulation.ts";
import { TOPOLOGIES, type TopologyName } from "./topology.ts";

/** What the command line asks for. */
export interface Settings {
  readonly sizes: readonly number[];
  readonly topologies: readonly TopologyName[];
  readonly modes: readonly FloodMode[];
  readonly seed: number;
  /** Largest mesh in which nodes are killed, and largest that floods as the reference does. */
  readonly failuresUpTo: number;
  readonly floodUpTo: number;
  /** Largest star of stars: its hubs are told of every node. */
  readonly starsUpTo: number;
  /** Where results are kept; results of other meshes in it stay. */
  readonly json: string;
  /** Folder of the plots. */
  readonly plots: string;
  /** Whether nothing is simulated, and only the plots are drawn. */
  readonly drawOnly: boolean;
}

const MODES: readonly FloodMode[] = ["flood", "scoped"];

/** Reads the arguments. Throws an `Error` for unknown flags and values. */
export function parseSettings(args: readonly string[], root: string): Settings {
  const { values } = parseArgs({
    args: [...args],
    options: {
      sizes: { type: "string", default: "10,100,1000,10000" },
      topologies: { type: "string", default: TOPOLOGIES.join() },
      modes: { type: "string", default: MODES.join() },
      seed: { type: "string", default: "1" },
      "failures-up-to": { type: "string", default: "1000" },
      "flood-up-to": { type: "string", default: "1000" },
      "stars-up-to": { type: "string", default: "1000" },
      json: { type: "string", default: `${root}/docs/protocol/scaling/results.json` },
      plots: { type: "string", default: `${root}/docs/protocol/scaling` },
      "draw-only": { type: "boolean", default: false },
    },
  });
  return {
    sizes: values.sizes.split(",").map((text) => count("sizes", text)),
    topologies: values.topologies.split(",").map((text) => oneOf(TOPOLOGIES, text)),
    modes: values.modes.split(",").map((text) => oneOf(MODES, text)),
    seed: count("seed", values.seed),
    failuresUpTo: count("failures-up-to", values["failures-up-to"]),
    floodUpTo: count("flood-up-to", values["flood-up-to"]),
    starsUpTo: count("stars-up-to", values["stars-up-to"]),
    json: values.json,
    plots: values.plots,
    drawOnly: values["draw-only"],
  };
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new Error(`--${flag}: ${text} is no whole number from 1 up`);
  return value;
}

function oneOf<T extends string>(known: readonly T[], text: string): T {
  const found = known.find((name) => name === text);
  if (found === undefined) throw new Error(`${text} is none of ${known.join(", ")}`);
  return found;
}
