import { spawn } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { hexToBytes, Mesh } from "@netmesh/sdk";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "netmesh-relay-test-"));
});

afterEach(() => rm(folder, { recursive: true, force: true }));

interface Line {
  readonly event: string;
  readonly [key: string]: unknown;
}

/** A running command: its lines, its whole output, and its end. */
function run(args: readonly string[], env: Record<string, string> = {}) {
  const cli = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, cli, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: folder, ...env },
  });
  let output = "";
  const lines: Line[] = [];
  const waiting: (() => void)[] = [];
  const wake = () => {
    for (const resume of waiting.splice(0)) resume();
  };
  createInterface({ input: child.stdout }).on("line", (line) => {
    output += `${line}\n`;
    if (line.startsWith("{")) lines.push(JSON.parse(line) as Line);
    wake();
  });
  child.stderr.on("data", (text) => {
    output += text;
  });
  const ended = new Promise<number | null>((resolve) => {
    child.on("close", (code) => {
      resolve(code);
      wake();
    });
  });
  return {
    ended,
    kill: (signal: NodeJS.Signals) => child.kill(signal),
    output: () => output,
    async line(event: string): Promise<Line> {
      for (;;) {
        const found = lines.find((line) => line.event === event);
        if (found !== undefined) return found;
        if (child.exitCode !== null) throw new Error(`ended before "${event}": ${output}`);
        await new Promise<void>((resolve) => waiting.push(resolve));
      }
    },
  };
}

const isBatched = await Mesh.create({
  bind: "127.0.0.1:0",
  psk: new Uint8Array(32),
  socket: { mode: "batched" },
}).then(
  (mesh) => mesh.shutdown().then(() => true),
  () => false,
);

if (!isBatched) it.skip("batched sockets are not tested: they do not run on this machine", () => {});

const sockets: readonly (readonly [mode: string, extra: readonly string[]])[] = [
  ["portable", []],
  ...(isBatched
    ? ([
        ["batched", ["--no-offload"]],
        ["batched", []],
      ] as const)
    : []),
];

describe("netmesh-relay", () => {
  it("makes its keys on the first start, readable by their owner only, keeps them, and never prints them", async () => {
    const files = ["--psk-file", join(folder, "keys/psk"), "--identity-file", join(folder, "keys/identity")];
    const first = run(["--bind", "127.0.0.1:0", ...files]);
    const listening = await first.line("listening");
    first.kill("SIGTERM");
    expect(await first.ended).toBe(0);
    const second = run(["--bind", "127.0.0.1:0", ...files]);
    expect(await second.line("listening")).toMatchObject({
      nodeId: listening["nodeId"],
      publicKey: listening["publicKey"],
    });
    second.kill("SIGINT");
    expect(await second.ended).toBe(0);
    for (const name of ["psk", "identity"]) {
      const path = join(folder, "keys", name);
      expect((await stat(path)).mode & 0o777).toBe(0o600);
      const key = (await readFile(path, "utf8")).trim();
      expect(key).toMatch(/^[0-9a-f]{64}$/);
      expect(first.output() + second.output()).not.toContain(key);
    }
  });

  it.each(sockets)(
    "relays between two nodes on %s sockets %j and reports it as JSON lines, one a status interval",
    async (mode, extra) => {
      const psk = "5a".repeat(32);
      const args = [
        "--bind",
        "127.0.0.1:0",
        "--status-seconds",
        "0.1",
        "--audit",
        "--socket",
        mode,
        ...extra,
      ];
      const relay = run(args, { NETMESH_PSK: psk, NETMESH_IDENTITY: "17".repeat(32) });
      const listening = await relay.line("listening");
      expect(listening["socket"]).toBe(mode);
      const contact = {
        address: String(listening["address"]),
        nodeId: BigInt(`0x${String(listening["nodeId"])}`),
        publicKey: hexToBytes(String(listening["publicKey"])),
      };
      const settings = { bind: "127.0.0.1:0", psk: hexToBytes(psk) };
      await using a = await Mesh.open(settings);
      await using b = await Mesh.open(settings);
      await Promise.all([a.connect(contact), b.connect(contact)]);
      await relay.line("peer-connected");
      await a.connectVia(contact.nodeId, b.contact);
      const heard = b.events();
      await a.send(b.nodeId, new TextEncoder().encode("over the relay"));
      expect(new TextDecoder().decode((await heard.next()).value?.data ?? new Uint8Array())).toBe(
        "over the relay",
      );
      await relay.line("status");
      relay.kill("SIGTERM");
      expect(await relay.ended).toBe(0);
      const stopped = await relay.line("stopped");
      expect(stopped).toMatchObject({ reason: "SIGTERM", relayOpened: 0, peers: 2 });
      expect(stopped["forwarded"]).toBeGreaterThanOrEqual(3);
      expect(stopped["relayAudited"]).toBe(stopped["forwarded"]);
      expect(relay.output()).not.toContain(psk);
    },
  );

  it("that requires forward secrecy refuses a node that does without, and takes one that does not", async () => {
    const psk = "5a".repeat(32);
    const relay = run(["--bind", "127.0.0.1:0", "--security", "require"], {
      NETMESH_PSK: psk,
      NETMESH_IDENTITY: "17".repeat(32),
    });
    const listening = await relay.line("listening");
    const contact = {
      address: String(listening["address"]),
      nodeId: BigInt(`0x${String(listening["nodeId"])}`),
      publicKey: hexToBytes(String(listening["publicKey"])),
    };
    const settings = { bind: "127.0.0.1:0", psk: hexToBytes(psk), handshakeTimeoutMs: 100 };
    await using old = await Mesh.open({ ...settings, security: "interop" });
    await using young = await Mesh.open(settings);
    await expect(old.connect(contact)).rejects.toMatchObject({ code: "handshake-timeout" });
    expect((await young.connect(contact)).security).toBe("forward-secret");
    relay.kill("SIGTERM");
    expect(await relay.ended).toBe(0);
    expect((await relay.line("stopped"))["peers"]).toBe(1);
  });

  it("refuses a key file that others can read, without printing the key", async () => {
    const path = join(folder, "psk");
    await writeFile(path, "ab".repeat(32));
    await chmod(path, 0o644);
    const relay = run(["--bind", "127.0.0.1:0", "--psk-file", path]);
    expect(await relay.ended).toBe(1);
    expect(relay.output()).toContain("chmod 600");
    expect(relay.output()).not.toContain("abab");
  });

  it.each([
    ["a key that is no key", [], { NETMESH_PSK: "secret-but-wrong" }, 1, "64 hex digits"],
    ["an unknown option", ["--frobnicate"], {}, 2, "frobnicate"],
    ["a security mode that is none", ["--security", "strong"], {}, 2, "--security"],
    ["a security mode that is none in a variable", [], { NETMESH_SECURITY: "strong" }, 2, "--security"],
    ["a socket that is none", ["--socket", "fast"], {}, 2, "--socket"],
    ["a status interval that is no time", ["--status-seconds", "x"], {}, 2, "--status-seconds"],
    [
      "an address that is none",
      ["--bind", "nowhere"],
      { NETMESH_PSK: "ab".repeat(32), NETMESH_IDENTITY: "cd".repeat(32) },
      1,
      "nowhere",
    ],
  ] as const)("ends with a message and an exit code for %s", async (_, args, env, code, message) => {
    const relay = run(args, env);
    expect(await relay.ended).toBe(code);
    expect(relay.output()).toContain(message);
    expect(relay.output()).not.toContain("secret-but-wrong");
    expect(relay.output()).not.toContain("    at ");
  });

  it("explains itself", async () => {
    const help = run(["--help"]);
    expect(await help.ended).toBe(0);
    expect(help.output()).toContain("NETMESH_PSK_FILE");
    const version = run(["--version"]);
    expect(await version.ended).toBe(0);
    expect(version.output()).toMatch(/^\d+\.\d+\.\d+/);
  });
});
