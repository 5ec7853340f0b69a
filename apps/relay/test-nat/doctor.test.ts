import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { NatLab, type Place, PUBLIC_HOSTS, whyUnavailable } from "@netmesh/nat-lab";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Diagnosis } from "../src/doctor/doctor.ts";
import type { Finding } from "../src/doctor/finding.ts";

const PSK = "5a".repeat(32);

describe.skipIf(whyUnavailable() !== undefined)("netmesh doctor", () => {
  let lab: NatLab;
  let relays: string[] = [];

  /** Starts a program of this package. */
  function start(place: Place, program: string, args: readonly string[]): ChildProcess {
    const path = fileURLToPath(new URL(program, import.meta.url));
    const node = [process.execPath, ...process.execArgv, path, ...args];
    return lab.spawn(place, "env", [`NETMESH_PSK=${PSK}`, `NETMESH_IDENTITY=${identityOf(place)}`, ...node]);
  }

  /** The first line with that field that a program prints. */
  async function lineWith<Field extends string>(
    child: ChildProcess,
    field: Field,
  ): Promise<Record<Field, string>> {
    if (child.stdout === null) throw new Error("no output");
    for await (const line of createInterface(child.stdout)) {
      const parsed = JSON.parse(line) as Record<string, string>;
      if (parsed[field] !== undefined) return parsed as Record<Field, string>;
    }
    throw new Error(`no line with '${field}'`);
  }

  /** The doctor in household A, to its end. */
  async function doctor(...args: readonly string[]) {
    const all = [
      "doctor",
      "--json",
      "--bind",
      "0.0.0.0:7000",
      ...relays.flatMap((relay) => ["--relay", relay]),
    ];
    const child = start("home-a", "../src/netmesh.ts", [...all, ...args]);
    let output = "";
    child.stdout?.on("data", (text) => {
      output += String(text);
    });
    const [code] = (await once(child, "close")) as [number];
    const diagnosis = JSON.parse(output) as Diagnosis;
    const found = (check: Finding["check"]) => diagnosis.findings.find((finding) => finding.check === check);
    return { code, diagnosis, found };
  }

  /** A node in household B that is connected to the relays; its id and key. */
  async function nodeAtB(): Promise<{ contact: string; child: ChildProcess }> {
    const child = start("home-b", "./connected-node.ts", [PSK, ...relays]);
    const { contact } = await lineWith(child, "contact");
    return { contact, child };
  }

  beforeAll(async () => {
    lab = NatLab.create();
    relays = await Promise.all(
      Object.entries(PUBLIC_HOSTS).map(async ([place, host]) => {
        const relay = start(place as Place, "../src/cli.ts", [
          "--bind",
          "0.0.0.0:7000",
          "--status-seconds",
          "3600",
        ]);
        const { nodeId, publicKey } = (await lineWith(relay, "publicKey")) as Record<string, string>;
        relay.stdout?.resume();
        return `${nodeId}:${publicKey}@${host}:7000`;
      }),
    );
  });

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  beforeEach(async () => {
    await lab.daemon("a").stop();
  });

  it("says behind a port-restricted NAT that all is well but for the port that is not mapped", async () => {
    lab.nat("a", "port-restricted");
    const { code, diagnosis, found } = await doctor();
    expect(found("nat")?.details).toEqual({ type: "cone", reflexAddress: `${lab.publicAddress("a")}:47000` });
    expect(found("mtu")?.details?.["datagramBytes"]).toBe(1472);
    expect(found("clock")?.status).toBe("ok");
    expect(diagnosis.cause).toBe("the router 192.168.1.1 offers no port mapping");
    expect(code).toBe(0);
  });

  it("says behind a symmetric NAT that it is one, and what would help", async () => {
    lab.nat("a", "symmetric");
    const { code, diagnosis, found } = await doctor();
    expect(found("nat")?.details?.["type"]).toBe("symmetric");
    expect(diagnosis.cause).toContain("a mapped port on the router would help");
    expect(code).toBe(0);
  });

  it("has answers of all three protocols from a router that speaks them, and leaves nothing mapped", async () => {
    lab.nat("a", "port-preserving");
    await lab.daemon("a").start();
    const { found } = await doctor();
    const external = `${lab.publicAddress("a")}:7000`;
    expect(found("port-mapping")?.details?.["answers"]).toEqual(
      ["pcp", "nat-pmp", "upnp"].map((protocol) => ({ protocol, external })),
    );
    expect(lab.daemon("a").rules).not.toContain("7000");
  });

  it("repeats what a router says that refuses", async () => {
    lab.nat("a", "port-preserving");
    await lab.daemon("a").start({ denies: true });
    const { found } = await doctor();
    expect(found("port-mapping")?.cause).toMatch(/maps no port: refused/);
  });

  it("reaches a peer behind another NAT by a punch", async () => {
    lab.nat("a", "port-restricted");
    lab.nat("b", "port-restricted");
    const { contact, child } = await nodeAtB();
    const { code, found } = await doctor("--no-port-mapping", "--peer", contact);
    child.kill();
    await once(child, "close");
    expect(found("peer")?.details).toMatchObject({ path: "punched", reason: "punched", natType: "cone" });
    expect(found("peer-nat")?.details?.["reflexAddress"]).toBe(`${lab.publicAddress("b")}:47000`);
    expect(code).toBe(0);
  });

  it("says why two symmetric NATs stay on the relay", async () => {
    lab.nat("a", "symmetric");
    lab.nat("b", "symmetric");
    const { contact, child } = await nodeAtB();
    const { found } = await doctor("--no-port-mapping", "--peer", contact);
    child.kill();
    await once(child, "close");
    expect(found("peer")?.details).toMatchObject({ path: "relayed", reason: "no-way", natType: "symmetric" });
    expect(found("peer")?.cause).toContain("both nodes are behind symmetric NATs");
  });

  it("says that UDP is blocked where nothing comes through", async () => {
    lab.loss(100);
    const { code, diagnosis } = await doctor("--no-port-mapping");
    lab.loss(0);
    expect(diagnosis.cause).toContain("UDP is blocked");
    expect(code).toBe(1);
  });
});

/** Every program has an identity of its own. */
function identityOf(place: Place): string {
  return Buffer.from(place).toString("hex").padEnd(64, "0");
}
