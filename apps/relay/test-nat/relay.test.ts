import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { NatLab, whyUnavailable } from "@netmesh/nat-lab";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const RELAY = fileURLToPath(new URL("../src/cli.ts", import.meta.url));
const KEYS = [`NETMESH_PSK=${"5a".repeat(32)}`, `NETMESH_IDENTITY=${"5b".repeat(32)}`];

describe.skipIf(whyUnavailable() !== undefined)("netmesh-relay at home", () => {
  let lab: NatLab;

  beforeAll(async () => {
    lab = NatLab.create({ a: "port-preserving" });
    await lab.daemon("a").start();
  });

  afterAll(async () => {
    await lab?.[Symbol.asyncDispose]();
  });

  it.each(["SIGTERM", "SIGINT"] as const)(
    "is reached under the router's address until %s ends it, and leaves nothing mapped",
    async (signal) => {
      const command = [
        process.execPath,
        ...process.execArgv,
        RELAY,
        "--bind",
        "0.0.0.0:7000",
        "--port-mapping",
      ];
      const relay = lab.spawn("home-a", "env", [...KEYS, ...command]);
      if (relay.stdout === null) throw new Error("no output");
      const events: Record<string, unknown>[] = [];
      const mapped = new Promise<void>((resolve) => {
        createInterface(relay.stdout as NodeJS.ReadableStream).on("line", (line) => {
          const event = JSON.parse(line) as Record<string, unknown>;
          events.push(event);
          if (event["phase"] === "installed") resolve();
        });
      });
      await mapped;
      expect(events).toContainEqual({
        event: "port-mapping",
        phase: "installed",
        external: `${lab.publicAddress("a")}:7000`,
      });
      expect(lab.daemon("a").rules).toContain("7000");
      relay.kill(signal);
      expect(await once(relay, "close")).toEqual([0, null]);
      expect(lab.daemon("a").rules).not.toContain("7000");
      expect(events.at(-1)).toMatchObject({ event: "stopped", reason: signal });
    },
  );
});
