import { Mesh } from "@netmesh/sdk";
import { expect, it } from "vitest";
import { TerminalReporter } from "../src/reporter.ts";

it("a terminal shows one status line that is written over, and events above it", async () => {
  await using mesh = await Mesh.open({ bind: "127.0.0.1:0", psk: new Uint8Array(32) });
  let screen = "";
  const reporter = new TerminalReporter({
    write(text) {
      screen += text;
    },
  });
  reporter.event("listening", { address: mesh.localAddress });
  const stats = mesh.stats();
  reporter.status(
    { ...stats, counters: { ...stats.counters, forwarded: 500, bytesForwarded: 3_000_000 } },
    1_000,
  );
  expect(screen).toContain(`listening: address ${mesh.localAddress}\n`);
  expect(screen).toContain("\r\u001b[K0 peers · 500 packets/s · 3.0 MB/s · 500 forwarded · 0 dropped");
  expect(screen.endsWith("\n")).toBe(false);
});
