import { spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { bytesToHex, Mesh } from "@netmesh/sdk";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { answerClock } from "../src/clock-service.ts";
import type { Diagnosis } from "../src/doctor/doctor.ts";
import type { Finding } from "../src/doctor/finding.ts";

const PSK = "5a".repeat(32);
const settings = { bind: "127.0.0.1:0", psk: new Uint8Array(32).fill(0x5a) };

/** The command with these arguments, to its end. */
async function netmesh(args: readonly string[], env: Record<string, string> = { NETMESH_PSK: PSK }) {
  const program = fileURLToPath(new URL("../src/netmesh.ts", import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, program, ...args], {
    env: { PATH: process.env["PATH"] ?? "", HOME: "/nonexistent", ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => (output += String(text)));
  const [code] = (await once(child, "close")) as [number];
  return { code, output };
}

async function doctor(...args: readonly string[]) {
  const { code, output } = await netmesh([
    "doctor",
    "--bind",
    "127.0.0.1:0",
    "--no-port-mapping",
    "--json",
    ...args,
  ]);
  const diagnosis = JSON.parse(output) as Diagnosis;
  const found = (check: Finding["check"]) => diagnosis.findings.filter((finding) => finding.check === check);
  return { code, diagnosis, found };
}

function contactOf({ contact }: Mesh): string {
  return `${contact.nodeId.toString(16).padStart(16, "0")}:${bytesToHex(contact.publicKey)}@${contact.address}`;
}

describe("netmesh doctor", () => {
  let relays: Mesh[] = [];
  let relayArguments: string[] = [];

  beforeEach(async () => {
    relays = await Promise.all([Mesh.open(settings), Mesh.open(settings)]);
    for (const relay of relays) answerClock(relay);
    relayArguments = relays.flatMap((relay) => ["--relay", contactOf(relay)]);
  });

  afterEach(async () => {
    await Promise.all(relays.map((relay) => relay.shutdown({ graceMs: 0 })));
  });

  it("finds a host open whose relays are on loopback, and its clock right", async () => {
    const { code, diagnosis, found } = await doctor(...relayArguments);
    expect(diagnosis).toMatchObject({ ok: true, cause: null });
    expect(code).toBe(0);
    expect(found("relay").map(({ status }) => status)).toEqual(["ok", "ok"]);
    expect(found("reflex")[0]?.details?.["reflex"]).toMatch(/^127\.0\.0\.1:\d+$/);
    expect(found("nat")[0]?.details?.["type"]).toBe("open");
    expect(found("mtu")[0]?.details?.["datagramBytes"]).toBe(8192);
    expect(Math.abs(Number(found("clock")[0]?.details?.["offsetMs"]))).toBeLessThan(500);
  });

  it("reaches a peer step by step without knowing where it is", async () => {
    await using peer = await Mesh.open(settings);
    for (const relay of relays) await peer.connect(relay.contact);
    const [contact = ""] = contactOf(peer).split("@");
    const { code, diagnosis, found } = await doctor(...relayArguments, "--peer", contact);
    expect(code).toBe(0);
    const steps = diagnosis.findings.filter(({ check }) => check.startsWith("peer"));
    expect(steps.map(({ check, status }) => [check, status])).toEqual([
      ["peer-relay", "ok"],
      ["peer-nat", "ok"],
      ["peer", "ok"],
    ]);
    const at = peer.localAddress;
    expect(found("peer-nat")[0]?.details).toMatchObject({ natType: "open", reflexAddress: at });
    expect(found("peer")[0]?.details).toMatchObject({
      path: "direct",
      reason: "direct-answered",
      address: at,
    });
    expect(found("mtu").map(({ details }) => details?.["address"])).toContain(at);
  });

  it("goes on over the relays when a peer does not answer at the address that was given", async () => {
    await using peer = await Mesh.open(settings);
    for (const relay of relays) await peer.connect(relay.contact);
    const [contact = ""] = contactOf(peer).split("@");
    const silent = createSocket("udp4").bind(0, "127.0.0.1");
    await once(silent, "listening");
    const elsewhere = `127.0.0.1:${silent.address().port}`;
    const { code, diagnosis, found } = await doctor(...relayArguments, "--peer", `${contact}@${elsewhere}`);
    silent.close();
    expect([code, diagnosis.ok]).toEqual([0, true]);
    expect(diagnosis.cause).toContain(`nothing listens at ${elsewhere}`);
    expect(["peer-address", "peer-relay", "peer"].map((check) => found(check as "peer")[0]?.status)).toEqual([
      "warning",
      "ok",
      "ok",
    ]);
  });

  it("says which relay does not answer, and why that may be, and goes on with the others", async () => {
    const silent = createSocket("udp4").bind(0, "127.0.0.1");
    await once(silent, "listening");
    const { port } = silent.address();
    const contact = `${"1".repeat(16)}:${bytesToHex((relays[0] as Mesh).noisePublicKey)}`;
    const first = relayArguments.slice(0, 2);
    const { code, diagnosis, found } = await doctor(...first, "--relay", `${contact}@127.0.0.1:${port}`);
    silent.close();
    expect(code).toBe(1);
    expect(diagnosis.cause).toContain(`127.0.0.1:${port} does not answer: it is not running`);
    expect(
      found("relay")
        .map(({ status }) => status)
        .sort(),
    ).toEqual(["failed", "ok"]);
    expect(found("nat")[0]?.cause).toBe("it takes two relays to tell");
  });

  it("says that a peer is not there", async () => {
    const absent = await Mesh.open(settings);
    const [contact = ""] = contactOf(absent).split("@");
    await absent.shutdown();
    const { code, diagnosis, found } = await doctor(...relayArguments, "--peer", contact);
    expect(diagnosis.cause).toContain("the peer does not answer over any relay");
    expect(found("peer-relay").map(({ status }) => status)).toEqual(["warning", "warning"]);
    expect(code).toBe(1);
  });

  it("says that there is no socket to be had", async () => {
    const { code, diagnosis } = await doctor("--bind", relays[0]?.localAddress ?? "");
    expect(diagnosis.cause).toContain("address-in-use");
    expect(code).toBe(1);
  });

  it("prints a line for each finding, and last that all is well", async () => {
    const { code, output } = await netmesh(["doctor", "--bind", "127.0.0.1:0", "--no-port-mapping"]);
    expect(code).toBe(0);
    expect(output).toMatch(/^ok {7}socket/);
    expect(output.trimEnd().split("\n").at(-1)).toBe("all is well");
    expect(output).not.toContain(PSK);
  });

  it("prints below a finding why it is so, and last the worst of it", async () => {
    const all = ["doctor", "--bind", "127.0.0.1:0", "--no-port-mapping"];
    const better = await netmesh([...all, ...relayArguments.slice(0, 2)]);
    expect(better.output).toContain("warning  nat           the kind of NAT is not known\n");
    expect(better.output).toMatch(/\n {23}because it takes two relays to tell\n/);
    expect(better.output.trimEnd().split("\n").at(-1)).toBe(
      "works, but could be better: it takes two relays to tell",
    );
    const failed = await netmesh(["doctor", "--bind", relays[0]?.localAddress ?? ""]);
    expect(failed.output.trimEnd().split("\n").at(-1)).toMatch(/^failed: address-in-use/);
  });
});

describe("netmesh", () => {
  it.each([
    ["no command", [], "a command is needed"],
    ["an unknown command", ["frobnicate"], "no command 'frobnicate'"],
    ["a relay that is no contact", ["doctor", "--relay", "here"], "NODEID:PUBLICKEY@HOST:PORT"],
    [
      "a relay without an address",
      ["doctor", "--relay", `${"1".repeat(16)}:${"2".repeat(64)}`],
      "needs an address",
    ],
    ["an unknown option", ["doctor", "--frobnicate"], "frobnicate"],
  ] as const)("ends with 2 for %s", async (_, args, message) => {
    const { code, output } = await netmesh(args);
    expect(code).toBe(2);
    expect(output).toContain(message);
    expect(output).not.toContain("    at ");
  });

  it("makes no key for a doctor", async () => {
    const contact = `${"1".repeat(16)}:${"2".repeat(64)}@127.0.0.1:9`;
    const { code, output } = await netmesh(["doctor", "--relay", contact], {});
    expect(code).toBe(1);
    expect(output).toContain("cannot read /nonexistent/.netmesh/psk");
  });

  it("explains itself and its commands", async () => {
    expect((await netmesh(["--help"])).output).toContain("doctor");
    expect((await netmesh(["doctor", "--help"])).output).toContain("NETMESH_RELAYS");
    expect((await netmesh(["relay", "--help"])).output).toContain("NETMESH_BIND");
    expect((await netmesh(["--version"])).output).toMatch(/^\d+\.\d+\.\d+/);
  });
});
