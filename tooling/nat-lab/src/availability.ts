import { spawnSync } from "node:child_process";

/** Why the laboratory cannot run here, in words for whoever runs the tests; undefined where it can. */
export function whyUnavailable(): string | undefined {
  if (process.platform !== "linux") return "network namespaces are Linux only";
  if (process.getuid?.() !== 0) return "network namespaces need root";
  for (const [program, debianPackage] of [
    ["ip", "iproute2"],
    ["nft", "nftables"],
    ["conntrack", "conntrack"],
    ["miniupnpd", "miniupnpd miniupnpd-nftables"],
  ]) {
    const { error } = spawnSync(program as string, ["--version"], { stdio: "ignore", timeout: 5_000 });
    if (error !== undefined) return `'${program}' is missing (Debian: ${debianPackage})`;
  }
  const probe = `probe-${process.pid}`;
  const made = spawnSync("ip", ["netns", "add", probe], { stdio: "ignore" });
  spawnSync("ip", ["netns", "del", probe], { stdio: "ignore" });
  return made.status === 0 ? undefined : "network namespaces cannot be made here";
}
