import { describe, expect, test } from "vitest";
import { JOBS, selectJobs } from "../src/measurements/catalogue.ts";
import { readSettings, UsageError } from "../src/settings.ts";

describe("the command line", () => {
  test("measures everything three times unless told otherwise", () => {
    const settings = readSettings([]);
    expect(settings).toMatchObject({ only: [], limits: { runs: 3, seconds: 1 }, jsonPath: undefined });
  });

  test("takes numbers within their bounds only", () => {
    expect(readSettings(["--runs", "5", "--seconds", "0.5"])).toMatchObject({
      limits: { runs: 5, seconds: 0.5 },
    });
    for (const args of [
      ["--runs", "0"],
      ["--runs", "1.5"],
      ["--seconds", "61"],
      ["--seconds", "soon"],
      ["--colour"],
      ["--only", "throughput:65"],
    ]) {
      expect(() => readSettings(args), args.join(" ")).toThrow(UsageError);
    }
  });

  test("picks measurements by the beginning of their names", () => {
    const ids = (...names: string[]) => selectJobs(names).map(({ id }) => id);
    expect(ids("throughput:64:tls", "handshake")).toEqual(["throughput:64:tls", "handshake"]);
    expect(ids("relay:8000")).toEqual(["relay:8000:netmesh-reliable", "relay:8000:dgram"]);
    expect(ids("through")).toEqual([]);
    expect(ids()).toHaveLength(JOBS.length);
  });
});

test("no two results have the same name, size and rival", () => {
  const keys = JOBS.flatMap((job) => job.keys).map((key) => `${key.name} ${key.payloadBytes} ${key.rival}`);
  expect(new Set(keys).size).toBe(keys.length);
});
