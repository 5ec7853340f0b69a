// `npm start`, `npm test`, … from a fresh clone, with nothing but Node.js and npm on the machine:
// fetches the pinned pnpm, installs what the lockfile says if that has not been done, runs the job.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");
const { packageManager, engines } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const pinned = packageManager.split("+")[0];

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`netmesh needs Node.js ${engines.node}; this is ${process.version}`);
  process.exit(1);
}

const env = { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", COREPACK_ENABLE_STRICT: "0" };

/** Runs pnpm: the one that runs this script, else the pinned one through npx. */
function pnpm(...args) {
  const inside = /^pnpm\//.test(env.npm_config_user_agent ?? "") && env.npm_execpath;
  const [command, ...head] = inside
    ? /\.c?js$/.test(inside)
      ? [process.execPath, inside]
      : [inside]
    : [process.platform === "win32" ? "npx.cmd" : "npx", "--yes", "--prefer-offline", pinned];
  const { status, error } = spawnSync(command, [...head, ...args], {
    cwd: root,
    env,
    stdio: "inherit",
    shell: process.platform === "win32",
  });
  if (error) console.error(String(error));
  if (status !== 0) process.exit(status ?? 1);
}

const stamp = join(root, "node_modules/.netmesh-installed");
const wanted = createHash("sha256")
  .update(readFileSync(join(root, "pnpm-lock.yaml")))
  .digest("hex");
if (!existsSync(stamp) || readFileSync(stamp, "utf8") !== wanted) {
  pnpm("install", "--frozen-lockfile", "--prefer-offline");
  writeFileSync(stamp, wanted);
}

// What follows the script's name on the command line is its own: `npm start -- --json FILE`.
const [script, ...rest] = process.argv.slice(2);
pnpm("run", script, ...rest);
