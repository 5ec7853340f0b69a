import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const program = new URL("../src/hello.ts", import.meta.url);

it("the README shows this very program", async () => {
  const readme = await readFile(new URL("../../../README.md", import.meta.url), "utf8");
  const block = /```ts\n([\s\S]*?)```/.exec(readme)?.[1];
  expect(block).toBe(await readFile(program, "utf8"));
});

it("the program prints what came back", async () => {
  const run = promisify(execFile);
  const { stdout } = await run(process.execPath, [...process.execArgv, fileURLToPath(program)]);
  expect(stdout).toBe("hello mesh\n");
});
