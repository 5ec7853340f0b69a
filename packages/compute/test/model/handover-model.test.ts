import { describe, expect, it } from "vitest";
import { type Bounds, explore } from "./handover-explorer.ts";

const environment = (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env;

/** What every run goes through, and what `NETMESH_EXPLORE=deep` adds. */
const BOUNDS: readonly Bounds[] = [
  { moves: 1, crashes: 2, events: 1 },
  { moves: 2, crashes: 1, events: 0 },
  ...(environment?.["NETMESH_EXPLORE"] === "deep"
    ? [
        { moves: 2, crashes: 2, events: 1 },
        { moves: 1, crashes: 4, events: 2 },
      ]
    : []),
];

describe("handing a daemon over, whatever is lost, repeated, overtaken, or crashes", () => {
  it.each(BOUNDS)(
    "never leaves two live copies, nor none, and never gets stuck: %o",
    { timeout: 300_000 },
    (bounds) => {
      const { fault, stuck, states } = explore(bounds);
      expect(fault).toBeUndefined();
      expect(stuck).toBeUndefined();
      expect(states).toBeGreaterThan(1000);
    },
  );

  it("would leave two if a target went on before the source has recorded it", () => {
    const { fault } = explore({ moves: 1, crashes: 0, events: 0 }, { isHasty: true });
    expect(fault?.what).toBe("two live copies");
  });

  it("would leave two if a target stored the daemon before the marker", () => {
    const { fault } = explore({ moves: 1, crashes: 1, events: 0 }, { isMarkedLate: true });
    expect(fault?.what).toBe("two live copies");
  });
});
