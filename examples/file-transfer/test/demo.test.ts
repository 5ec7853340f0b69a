import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { DemoProcess } from "@netmesh/demo-processes";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { is, type Message } from "../src/messages.ts";

let folder = "";

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "netmesh-demo-test-"));
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the demo's command and returns how it ended. */
function runDemo(args: readonly string[]): Promise<{ code: number | null; lines: string[]; stderr: string }> {
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

describe("the demo", () => {
  it("sends the given file both ways and closes with a summary in JSON", async () => {
    const path = join(folder, "given.bin");
    await writeFile(path, randomBytes(1_500_000));
    const { code, lines, stderr } = await runDemo(["--json", path]);
    expect(stderr).toBe("");
    expect(code).toBe(0);
    const summary = JSON.parse(lines.at(-1) ?? "") as Record<string, unknown>;
    expect(summary).toMatchObject({
      bytes: 1_500_000,
      sha256Match: true,
      relayed: { mbPerSecond: expect.any(Number), packets: expect.any(Number), relayOpened: 0 },
      direct: { mbPerSecond: expect.any(Number), packets: expect.any(Number) },
    });
    const { relayForwarded, packets } = summary["relayed"] as { relayForwarded: number; packets: number };
    expect(packets).toBeGreaterThan(1_500_000 / 8_200);
    expect(relayForwarded).toBeGreaterThan(packets);
  }, 60_000);

  it("carries an empty file", async () => {
    const path = join(folder, "empty.bin");
    await writeFile(path, "");
    const { code, lines } = await runDemo(["--json", path]);
    expect(code).toBe(0);
    expect(JSON.parse(lines.at(-1) ?? "")).toMatchObject({ bytes: 0, sha256Match: true });
  }, 60_000);

  it("fails with an exit code for a file that is not there", async () => {
    const { code, stderr } = await runDemo([join(folder, "nothing")]);
    expect(code).toBe(1);
    expect(stderr).toContain("nothing");
  }, 60_000);
});

describe("a killed process", () => {
  const source = (name: string) => new URL(`../src/${name}.ts`, import.meta.url);

  /** A relay, a receiver and a sender with a file that takes a while, and what they report. */
  async function startAll() {
    const psk = randomBytes(32).toString("hex");
    const path = join(folder, "large.bin");
    await writeFile(path, Buffer.alloc(64 << 20));
    const relay = new DemoProcess<Message>(
      "relay",
      new URL("./src/cli.ts", import.meta.resolve("@netmesh/relay/package.json")),
      ["--bind", "127.0.0.1:0", "--json"],
      { NETMESH_PSK: psk, NETMESH_IDENTITY: randomBytes(32).toString("hex") },
    );
    const contact = await relay.expect(is("listening"));
    const shared = {
      DEMO_PSK: psk,
      DEMO_RELAY: JSON.stringify(contact),
      DEMO_FOLDER: folder,
      DEMO_SESSION_TIMEOUT_MS: "2000",
    };
    const receiver = new DemoProcess<Message>("receiver", source("receiver"), [], shared);
    const target = await receiver.expect(is("listening"));
    const sender = new DemoProcess<Message>("sender", source("sender"), [], {
      ...shared,
      DEMO_RECEIVER: JSON.stringify(target),
      DEMO_FILE: path,
    });
    await sender.expect(is("progress"));
    return { relay, receiver, sender };
  }

  it("when it is the relay, fails the sender distinctly and the receiver reports the file incomplete", async () => {
    const { relay, receiver, sender } = await startAll();
    try {
      relay.kill();
      const outcome = await sender.failure();
      expect(outcome.code).toMatch(/^(peer-lost|repair-timeout)$/);
      const received = await receiver.expect(is("received"));
      expect(received.complete).toBe(false);
      expect((await receiver.failure()).code).toMatch(/^(peer-lost|stream-gap|stream-reset)$/);
    } finally {
      await Promise.all([sender.stop(), receiver.stop(), relay.stop()]);
    }
  }, 60_000);

  it("when it is the receiver, fails the sender distinctly", async () => {
    const { relay, receiver, sender } = await startAll();
    try {
      receiver.kill();
      expect((await sender.failure()).code).toMatch(/^(peer-lost|repair-timeout)$/);
    } finally {
      await Promise.all([sender.stop(), receiver.stop(), relay.stop()]);
    }
  }, 60_000);
});
