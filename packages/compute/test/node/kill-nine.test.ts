import { expect, it } from "vitest";
import { killRounds } from "./crash/kill-rounds.ts";

it("no stored snapshot or marker is lost, torn or damaged when the process is killed", async () => {
  const report = await killRounds(12, Math.random);
  expect(report.faults).toEqual([]);
  expect(report.acknowledged).toBeGreaterThan(0);
});
