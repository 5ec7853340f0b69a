import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Measurement, Report } from "../src/report.ts";
import { withWorkers } from "../src/worker-process.ts";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));
const TIMEOUT_MS = 60_000;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "netmesh-bench-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function bench(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [...process.execArgv, MAIN, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
    timeout: TIMEOUT_MS,
  });
  let output = "";
  child.stdout.on("data", (text: Buffer) => {
    output += text.toString();
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, output };
}

const numberOrNull = expect.toSatisfy((value) => value === null || typeof value === "number");
const perSide = { sender: numberOrNull, receiver: numberOrNull, relay: numberOrNull };

describe("a quick run", () => {
  test("measures between real processes and writes what the README promises", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const path = join(folder, "results.json");
    const names = "throughput:1024,handshake,relay:1024:netmesh-reliable";
    const { code, output } = await bench("--quick", "--only", names, "--json", path);
    expect(output).not.toContain("failed:");
    expect(code).toBe(0);

    const report = JSON.parse(await readFile(path, "utf8")) as Report;
    expect(report).toEqual({
      schema: 1,
      startedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
      machine: {
        node: process.version,
        cpuModel: expect.any(String),
        cores: expect.any(Number),
        platform: expect.stringContaining(process.platform),
      },
      limits: { runs: 1, seconds: 0.1, warmUpSeconds: 0, handshakes: 4 },
      measurements: expect.any(Array),
    });
    for (const measurement of report.measurements) {
      expect(measurement).toEqual({
        name: expect.any(String),
        unit: expect.stringMatching(/^(events\/s|packets\/s|ms)$/),
        payloadBytes: measurement.name.startsWith("handshake") ? 0 : 1_024,
        rival: expect.any(String),
        runs: [measurement.median],
        median: expect.any(Number),
        loss: numberOrNull,
        cpuMicrosecondsPerEvent: perSide,
        peakRssBytes: perSide,
        eventsPerPacket: numberOrNull,
        ratios: { dgram: numberOrNull, tls: numberOrNull, noble: null, c: null },
        errors: [],
      });
    }
    const of = (name: string, rival: string): Measurement | undefined =>
      report.measurements.find((each) => each.name === name && each.rival === rival);
    expect(report.measurements.map(({ name, rival }) => `${name} ${rival}`)).toEqual([
      "throughput netmesh-reliable",
      "throughput netmesh-reliable-1200",
      "throughput netmesh-fire-and-forget",
      "throughput dgram",
      "throughput tls",
      "handshake netmesh",
      "handshake-first netmesh",
      "handshake tls",
      "handshake-first tls",
      "handshake-relayed netmesh",
      "handshake-relayed-first netmesh",
      "relay-throughput netmesh-reliable",
      "relay-forwarded netmesh-reliable",
    ]);
    expect(of("throughput", "netmesh-reliable")?.loss).toBeNull();
    expect(of("throughput", "dgram")?.loss).toEqual(expect.any(Number));
    expect(of("throughput", "netmesh-reliable")?.eventsPerPacket).toBeGreaterThan(1);
    expect(of("relay-throughput", "netmesh-reliable")?.peakRssBytes.relay).toEqual(expect.any(Number));
    expect(of("relay-forwarded", "netmesh-reliable")?.median).toBeGreaterThan(0);
  });

  test("measures bare datagrams, where there is a C compiler beside C", { timeout: TIMEOUT_MS }, async () => {
    const path = join(folder, "transport.json");
    const { code, output } = await bench(
      "--quick",
      "--only",
      "transport:1200,transport:idle",
      "--json",
      path,
    );
    expect(output).not.toContain("failed:");
    expect(code).toBe(0);
    const { measurements } = JSON.parse(await readFile(path, "utf8")) as Report;
    expect(measurements.every(({ median }) => median !== null)).toBe(true);
    const rivals = new Set(measurements.map(({ rival }) => rival));
    expect(rivals.has("portable")).toBe(true);
    expect(rivals.has("c-offload")).toBe(rivals.has("c"));
    expect(rivals.has("c")).toBe(!output.includes("there is no C compiler"));
  });

  test("floods an engine and a socket, and says how far the attacker came", {
    timeout: TIMEOUT_MS,
  }, async () => {
    const path = join(folder, "flood.json");
    const names = "flood:engine-handshakes,flood:engine-junk,flood:sockets-handshakes";
    const { code, output } = await bench("--quick", "--only", names, "--json", path);
    expect(output).not.toContain("failed:");
    expect(code).toBe(0);
    const report = JSON.parse(await readFile(path, "utf8")) as Report;
    expect(report.measurements.map(({ name, rival, unit }) => `${name} ${rival} ${unit}`)).toEqual([
      "flood-goodput engine-handshakes ×",
      "flood-packet engine-handshakes ns",
      "flood-rate engine-handshakes packets/s",
      "flood-heap engine-handshakes B",
      "flood-goodput engine-junk ×",
      "flood-packet engine-junk ns",
      "flood-rate engine-junk packets/s",
      "flood-heap engine-junk B",
      "flood-goodput sockets-handshakes ×",
      "flood-rate sockets-handshakes packets/s",
    ]);
    for (const { name, median } of report.measurements) {
      if (name !== "flood-heap") expect(median).toBeGreaterThan(0);
    }
  });

  test("refuses a measurement that does not exist", { timeout: TIMEOUT_MS }, async () => {
    const { code } = await bench("--only", "latency");
    expect(code).toBe(2);
  });
});

describe("workers", () => {
  test("are stopped when the measurement fails", { timeout: TIMEOUT_MS }, async () => {
    let pid: number | undefined;
    const failing = withWorkers(async (start) => {
      const worker = start("sender", "dgram");
      pid = worker.pid;
      await worker.call("flood", { payloadBytes: 64, batchEvents: 1, milliseconds: 1 });
    });
    await expect(failing).rejects.toThrow("sender there is no link");
    expect(() => process.kill(pid as number, 0)).toThrow("ESRCH");
  });
});
