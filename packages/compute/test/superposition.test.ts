import { expect, it } from "vitest";
import { MIGRATION_PHASES, superpositionOf } from "../src/index.ts";
import { compute } from "./support/vectors.ts";

it("every phase of a migration means to an observer what it means to Net", () => {
  const expected = new Map<string, string>();
  for (const { phase, superposition } of compute.orchestrator) {
    if (phase !== null && superposition !== null)
      expected.set(phase.toLowerCase(), superposition.toLowerCase());
  }
  expect(expected.size).toBeGreaterThan(4);
  for (const phase of MIGRATION_PHASES) {
    if (expected.has(phase)) expect([phase, superpositionOf(phase)]).toEqual([phase, expected.get(phase)]);
  }
  expect(superpositionOf("restore")).toBe("spreading");
});
