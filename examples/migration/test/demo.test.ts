import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

describe("the migration demo", () => {
  it("ends with a count without gaps, although the daemon moves under load and a process is killed", async () => {
    const demo = fileURLToPath(new URL("../src/demo.ts", import.meta.url));
    const args = ["--json", "--events-per-second", "2000", "--state-bytes", "300000"];
    const child = spawn(process.execPath, [...process.execArgv, demo, ...args]);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const { sent, counted, moves } = JSON.parse(stdout.trimEnd().split("\n").at(-1) ?? "");
    expect(sent).toBeGreaterThan(1_000);
    expect(counted).toEqual({ events: sent, gaps: 0, repeats: 0 });
    expect(moves.map(({ outcome }: { outcome: string }) => outcome)).toEqual([
      "moved",
      "moved",
      "moved",
      "stayed",
    ]);
  }, 60_000);
});
