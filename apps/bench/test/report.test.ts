import { describe, expect, test } from "vitest";
import { type MeasurementKey, NO_SIDE, type Observation } from "../src/measurements/measurement.ts";
import { type MeasurementRuns, summarise } from "../src/report.ts";
import { runSuite } from "../src/suite.ts";
import { figure, formatTable } from "../src/table.ts";

const LIMITS = { runs: 2, seconds: 0.1, warmUpSeconds: 0, handshakes: 2 };

function key(rival: string): MeasurementKey {
  return { name: "throughput", unit: "events/s", payloadBytes: 64, rival };
}

function observation(value: number, details: Partial<Observation> = {}): Observation {
  return {
    value,
    loss: null,
    cpuMicrosecondsPerEvent: NO_SIDE,
    peakRssBytes: NO_SIDE,
    eventsPerPacket: null,
    ...details,
  };
}

function summary(...records: MeasurementRuns[]) {
  return summarise(records);
}

describe("a summary", () => {
  test("compares each run with the rival's run beside it", () => {
    const [netmesh] = summary(
      { key: key("netmesh"), runs: [observation(10), observation(40), observation(90)] },
      { key: key("tls"), runs: [observation(10), observation(20), observation(30)] },
    );
    expect(netmesh?.median).toBe(40);
    expect(netmesh?.ratios).toEqual({ dgram: null, tls: 2, noble: null, c: null });
  });

  test("keeps the place of a run that failed, and its reason", () => {
    const [netmesh] = summary({
      key: key("netmesh"),
      runs: [observation(10), { error: "lost" }, observation(20)],
    });
    expect(netmesh?.runs).toEqual([10, null, 20]);
    expect(netmesh?.median).toBe(15);
    expect(netmesh?.errors).toEqual(["lost"]);
  });

  test("has no median when every run failed", () => {
    const [netmesh] = summary({ key: key("netmesh"), runs: [{ error: "lost" }] });
    expect(netmesh?.median).toBeNull();
  });

  test("takes the largest memory of all runs", () => {
    const rss = (bytes: number) => ({ peakRssBytes: { sender: bytes, receiver: 1, relay: null } });
    const [netmesh] = summary({
      key: key("netmesh"),
      runs: [observation(1, rss(5)), observation(1, rss(9)), observation(1, rss(7))],
    });
    expect(netmesh?.peakRssBytes).toEqual({ sender: 9, receiver: 1, relay: null });
  });
});

describe("the table", () => {
  test("names what failed, and tells the reason once", () => {
    const table = formatTable(
      summary(
        { key: key("netmesh"), runs: [{ error: "receiver has ended" }] },
        { key: key("tls"), runs: [{ error: "receiver has ended" }] },
      ),
    );
    expect(table.match(/FAILED/g)).toHaveLength(2);
    expect(table.match(/failed: receiver has ended/g)).toHaveLength(1);
  });

  test("has its columns one below the other", () => {
    const [head = "", first = "", second = ""] = formatTable(
      summary(
        { key: key("netmesh"), runs: [observation(1_234_567, { loss: 0.015 })] },
        { key: key("dgram"), runs: [observation(2)] },
      ),
    ).split("\n");
    const end = head.indexOf("median") + "median".length;
    expect(first.slice(0, end)).toMatch(/ 1\.23 M$/);
    expect(second.slice(0, end)).toMatch(/ 2\.00$/);
    expect(first).toContain("1.5 %");
  });

  test("writes figures with three digits", () => {
    expect([1.234, 56.78, 345.6, 9_990, 12_345, 999_900].map(figure)).toEqual([
      "1.23",
      "56.8",
      "346",
      "9990",
      "12.3 k",
      "1.00 M",
    ]);
  });
});

describe("a suite", () => {
  test("goes on after a job that failed, and tells what is missing", async () => {
    const failing = {
      id: "failing",
      keys: [key("netmesh"), key("dgram")],
      run: () => Promise.reject(new Error("no socket")),
    };
    const working = { id: "working", keys: [key("tls")], run: async () => [observation(7)] };
    const progress: string[] = [];
    const runs = await runSuite([failing, working], LIMITS, (text) => progress.push(text));
    expect(runs.map((record) => record.runs)).toEqual([
      [{ error: "no socket" }, { error: "no socket" }],
      [{ error: "no socket" }, { error: "no socket" }],
      [observation(7), observation(7)],
    ]);
    expect(progress).toEqual([
      "run 1 of 2: failing",
      "run 1 of 2: working",
      "run 2 of 2: failing",
      "run 2 of 2: working",
    ]);
  });
});
