import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import Database from "libsql";
import { SqliteSnapshotStore } from "../../../src/node/index.ts";
import { fromU64, identity } from "../../support/daemons.ts";
import { ENTITIES, stateAt } from "./expected-state.ts";

/** What a campaign has seen. */
export interface KillReport {
  /** Processes killed. */
  readonly rounds: number;
  /** Of them, those that had been told of a stored snapshot. */
  readonly roundsWithWrites: number;
  /** Snapshots that a process was told are stored. */
  readonly acknowledged: number;
  /** What was lost, torn or damaged; empty is what should be. */
  readonly faults: readonly string[];
}

const packageRoot = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * Kills a writing process with SIGKILL at a random point, looks at what it left behind, and lets the next go on from there, so many times.
 * `random` gives numbers from 0 to 1.
 */
export async function killRounds(
  rounds: number,
  random: () => number,
  onRound?: (round: number) => void,
): Promise<KillReport> {
  // Below the package, where its dependencies are found; bundled, because starting from sources takes longer than the round.
  const folder = await mkdtemp(join(packageRoot, "node_modules", ".crash-"));
  try {
    const source = (path: string): string => join(packageRoot, path);
    await build({
      entryPoints: {
        writer: source("test/node/crash/writer.ts"),
        "sqlite-thread": source("src/node/sqlite-thread.ts"),
      },
      bundle: true,
      platform: "node",
      format: "esm",
      target: "node20",
      external: ["libsql"],
      conditions: ["@netmesh/source"],
      outdir: folder,
    });
    const path = join(folder, "daemons.db");
    const faults: string[] = [];
    let acknowledged = 0;
    let roundsWithWrites = 0;
    for (let round = 1; round <= rounds; round++) {
      // Every fifth before the writer can have begun, with luck while it is opening the file.
      const delayMs = random() < 0.2 ? random() * 150 : undefined;
      const said = await writeUntilKilled(join(folder, "writer.js"), path, round, delayMs, random() * 60);
      acknowledged += said.puts;
      if (said.puts > 0) roundsWithWrites++;
      faults.push(...(await faultsOf(path, said)).map((fault) => `round ${round}: ${fault}`));
      onRound?.(round);
    }
    return { rounds, roundsWithWrites, acknowledged, faults };
  } finally {
    await rm(folder, { recursive: true });
  }
}

interface Said {
  puts: number;
  /** The last snapshot, and marker, of each entity that the writer was told is stored. */
  readonly snapshots: Map<number, number>;
  readonly markers: Map<number, number>;
  readonly errors: string;
}

/** Runs the writer until `delayMs` after its start, or `extraMs` after its first word when that is undefined. */
function writeUntilKilled(
  script: string,
  path: string,
  seed: number,
  delayMs: number | undefined,
  extraMs: number,
): Promise<Said> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [script, path, `${seed}`], { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    const kill = (): void => void child.kill("SIGKILL");
    let timer = delayMs === undefined ? undefined : setTimeout(kill, delayMs);
    child.stderr.on("data", (data: Buffer) => (errors += data.toString()));
    child.stdout.on("data", (data: Buffer) => {
      output += data.toString();
      timer ??= setTimeout(kill, extraMs);
    });
    child.once("error", reject);
    child.once("close", () => {
      clearTimeout(timer);
      resolve(parse(output, errors));
    });
  });
}

function parse(output: string, errors: string): Said {
  const said: Said = { puts: 0, snapshots: new Map(), markers: new Map(), errors };
  // What follows the last line break was cut off.
  for (const line of output.split("\n").slice(0, -1)) {
    const [what, entity, n] = line.split(" ");
    if (what === "s") {
      said.puts++;
      said.snapshots.set(Number(entity), Number(n));
    }
    if (what === "m") said.markers.set(Number(entity), Number(n));
  }
  return said;
}

async function faultsOf(path: string, said: Said): Promise<string[]> {
  const faults: string[] = said.errors === "" ? [] : [`the writer said ${said.errors}`];
  await using store = await SqliteSnapshotStore.open({ path });
  for (let entity = 0; entity < ENTITIES; entity++) {
    const expected = said.snapshots.get(entity) ?? 0;
    const found = await store.get(identity(entity).entityId);
    const n = Number(found?.snapshot.throughSeq ?? 0n);
    if (n < expected) faults.push(`entity ${entity} is at ${n}, ${expected} was stored`);
    if (found !== undefined && found.damaged > 0) faults.push(`entity ${entity} has damaged snapshots`);
    if (found !== undefined && Buffer.compare(found.snapshot.state, stateAt(entity, n)) !== 0) {
      faults.push(`entity ${entity} has another state than it had at ${n}`);
    }
    const marker = await store.getMarker(`entity ${entity}`);
    const marked = marker === undefined ? 0 : Number(fromU64(marker));
    if (marked < (said.markers.get(entity) ?? 0) || marked > n) {
      faults.push(`entity ${entity} is marked ${marked} at ${n}, ${said.markers.get(entity)} was stored`);
    }
  }
  const database = new Database(path);
  const check = database.prepare("PRAGMA integrity_check").all() as Record<string, unknown>[];
  database.close();
  if (check[0]?.["integrity_check"] !== "ok") faults.push(`the file is damaged: ${JSON.stringify(check)}`);
  return faults;
}
