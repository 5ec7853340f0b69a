import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { gatewayInLinuxRoutes } from "../port-mapping/gateway/linux-routes.ts";
import { gatewayInMacosRoute } from "../port-mapping/gateway/macos-route.ts";
import { gatewayInWindowsRoutes } from "../port-mapping/gateway/windows-routes.ts";

/** A system program that prints routes is given this long, in milliseconds, and this many bytes. */
const COMMAND_DEADLINE_MS = 1_000;
const COMMAND_BYTES = 262_144;

/** Where the route command of macOS is. */
const MACOS_ROUTE = ["/sbin/route", "/usr/sbin/route"];

/** The IPv4 address of the default gateway; undefined where none is known. Never rejects (traversal §16). */
export async function defaultGateway(
  platform: NodeJS.Platform = process.platform,
  signal?: AbortSignal,
): Promise<string | undefined> {
  if (platform === "linux" || platform === "android") {
    return gatewayInLinuxRoutes(await readFile("/proc/net/route", "utf8").catch(() => ""));
  }
  if (platform === "darwin") {
    for (const path of MACOS_ROUTE) {
      const text = await output(path, ["-n", "get", "default"], signal);
      if (text !== undefined) return gatewayInMacosRoute(text);
    }
  }
  if (platform === "win32") {
    const root = process.env["SystemRoot"] ?? "C:\\Windows";
    return gatewayInWindowsRoutes(
      (await output(`${root}\\System32\\route.exe`, ["print", "-4", "0.0.0.0"], signal)) ?? "",
    );
  }
  return undefined;
}

/** What a program prints; undefined when it fails, is missing or takes too long. */
function output(file: string, args: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
  const options = {
    timeout: COMMAND_DEADLINE_MS,
    maxBuffer: COMMAND_BYTES,
    windowsHide: true,
    ...(signal === undefined ? {} : { signal }),
  };
  return new Promise((resolve) => {
    execFile(file, args, options, (error, stdout) => resolve(error === null ? stdout : undefined));
  });
}
