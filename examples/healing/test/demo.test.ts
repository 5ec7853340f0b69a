import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

/** Runs the demo's command and returns how it ended. */
function runDemo(...args: string[]): Promise<{ code: number | null; lines: string[]; stderr: string }> {
  return new Promise((resolve) => {
    const demo = fileURLToPath(new URL("../src/demo.ts", import.meta.url));
    const child = spawn(process.execPath, [...process.execArgv, demo, ...args]);
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (text) => {
      stdout += text;
    });
    child.stderr.on("data", (text) => {
      stderr += text;
    });
    child.on("close", (code) => resolve({ code, lines: stdout.trimEnd().split("\n"), stderr }));
  });
}

describe("the healing demo", () => {
  it("carries a file whole across three hops while four relays in use are killed", async () => {
    const { code, lines, stderr } = await runDemo("--json", "--bytes-per-second", "500000");
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const summary = JSON.parse(lines.at(-1) ?? "");
    expect(summary).toMatchObject({ sha256Match: true, bytes: expect.any(Number) });
    const killed = summary.kills.map(({ relay }: { relay: string }) => relay);
    expect(new Set(killed).size).toBe(4);
    // One of the sender's side and one of the receiver's in turn.
    expect(killed.map((relay: string) => "ABC".includes(relay.at(-1) as string))).toEqual([
      true,
      false,
      true,
      false,
    ]);
  }, 60_000);

  it("says in one line what keeps it from running", async () => {
    const { code, stderr } = await runDemo("/nowhere/at/all");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^demo: ENOENT.*\n$/);
  }, 60_000);
});
