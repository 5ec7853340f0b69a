// A node with durable daemons in a process of its own: answers each line of commands with a line, and kills itself where it is told to.
import { createInterface } from "node:readline";
import { SqliteSnapshotStore } from "@netmesh/compute/node";
import { bytesToHex, DaemonRuntime, hexToBytes, Identity, Mesh, type SnapshotStore } from "../src/index.ts";
import { counter, KIND, number, toNumber } from "./counting-daemon.ts";
import type { CrashPoint } from "./crashing-store.ts";

/** What a node process is told. */
export type Command =
  | { readonly do: "contact" }
  | { readonly do: "connect"; readonly address: string; readonly nodeId: string; readonly publicKey: string }
  | { readonly do: "spawn"; readonly events: number }
  | { readonly do: "expect"; readonly originHash: string }
  | { readonly do: "kill"; readonly at: CrashPoint }
  | { readonly do: "move"; readonly originHash: string; readonly to: string }
  | { readonly do: "state" }
  | { readonly do: "deliver"; readonly originHash: string };

const [, , psk = "", seed = "", path = ""] = process.argv;
const WRITES: ReadonlySet<string | symbol> = new Set(["put", "forget", "putMarker", "deleteMarker"]);

let killAt: CrashPoint | undefined;
let operations = 0;

/** The store, in whose operations the process ends. */
function lethal(store: SqliteSnapshotStore): SnapshotStore {
  const guarded = async (action: () => Promise<unknown>): Promise<unknown> => {
    const isPoint = killAt?.operation === operations;
    operations++;
    if (isPoint && killAt?.isDone === false) process.kill(process.pid, "SIGKILL");
    const result = await action();
    if (isPoint) process.kill(process.pid, "SIGKILL");
    return result;
  };
  return new Proxy(store, {
    get(target, name) {
      const value = Reflect.get(target, name);
      if (typeof value !== "function") return value;
      const method = value.bind(target);
      return WRITES.has(name) ? (...args: unknown[]) => guarded(() => method(...args)) : method;
    },
  });
}

const mesh = await Mesh.open({
  bind: "127.0.0.1:0",
  psk: hexToBytes(psk),
  identity: Identity.fromSeed(hexToBytes(seed)),
});
const store = lethal(await SqliteSnapshotStore.open({ path }));
const runtime = new DaemonRuntime(mesh, { store, snapshots: { intervalMs: 60_000 } });
runtime.register(KIND, counter);
const { restored } = await runtime.start();

async function answer(command: Command): Promise<unknown> {
  switch (command.do) {
    case "contact": {
      const { address, nodeId, publicKey } = mesh.contact;
      return {
        address,
        nodeId: String(nodeId),
        publicKey: bytesToHex(publicKey),
        restored: restored.length,
      };
    }
    case "connect": {
      const { address, nodeId, publicKey } = command;
      await mesh.connect({ address, nodeId: BigInt(nodeId), publicKey: hexToBytes(publicKey) });
      return {};
    }
    case "spawn": {
      const daemon = await runtime.spawn(KIND);
      for (let i = 0; i < command.events; i++) await daemon.deliver(number(0));
      await daemon.save();
      return { originHash: String(daemon.originHash) };
    }
    case "expect":
      runtime.expectMigration(KIND, BigInt(command.originHash));
      return {};
    case "kill":
      killAt = command.at;
      operations = 0;
      return {};
    case "move":
      (await runtime.migrate(BigInt(command.originHash), BigInt(command.to))).done.catch(() => undefined);
      return {};
    case "state":
      return { daemons: runtime.daemonCount, moves: runtime.migrations().length };
    case "deliver": {
      const [output] = await runtime.deliver(BigInt(command.originHash), number(0));
      return { count: toNumber(output?.payload) };
    }
  }
}

const lines = createInterface({ input: process.stdin });
lines.on("close", () => process.exit());
for await (const line of lines) {
  process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line)))}\n`);
}
