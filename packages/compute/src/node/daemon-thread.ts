/** The thread of one daemon: makes it, then performs one call after the other. */
import { parentPort, workerData } from "node:worker_threads";
import { type Daemon, type DaemonOutput, isStateful } from "../daemon.ts";
import { constructDaemon, type DaemonFactory } from "../daemon-factory.ts";
import { DaemonError, messageOf } from "../errors.ts";
import { platformTime } from "../time.ts";
import { compact, type ThreadAnswer, type ThreadCall, type ThreadPlan } from "./daemon-thread-message.ts";

function answer(message: ThreadAnswer): void {
  parentPort?.postMessage(message);
}

async function make({ module, exportName, context, timeoutMs }: ThreadPlan): Promise<Daemon> {
  const exported = ((await import(module)) as Record<string, unknown>)[exportName];
  if (typeof exported !== "function") {
    throw new DaemonError("invalid-daemon", `${module} exports no function ${exportName}`, context);
  }
  return await constructDaemon(exported as DaemonFactory, context, { timeoutMs }, platformTime);
}

async function perform(daemon: Daemon, call: ThreadCall): Promise<DaemonOutput> {
  switch (call.call) {
    case "process":
      return compacted(await daemon.process(call.event));
    case "snapshot":
      return compacted(await daemon.snapshot?.());
    case "restore":
      return await daemon.restore?.(call.state);
    case "control":
      return await daemon.onControl?.(call.event);
    case "dispose":
      return await daemon.dispose?.();
  }
}

function compacted(output: DaemonOutput): DaemonOutput {
  if (output instanceof Uint8Array) return compact(output);
  if (!Array.isArray(output)) return output;
  return output.map((item: unknown) => (item instanceof Uint8Array ? compact(item) : item)) as Uint8Array[];
}

async function serve(daemon: Daemon, call: ThreadCall): Promise<void> {
  try {
    const value = await perform(daemon, call);
    answer({ kind: "returned", value, health: daemon.health?.(), saturation: daemon.saturation?.() });
  } catch (error) {
    answer({ kind: "threw", message: messageOf(error) });
  }
  if (call.call === "dispose") parentPort?.close();
}

try {
  const daemon = await make(workerData as ThreadPlan);
  const { name, requirements, requiredCapabilities, optionalCapabilities } = daemon;
  parentPort?.on("message", (call: ThreadCall) => void serve(daemon, call));
  answer({
    kind: "made",
    daemon: {
      name,
      requirements,
      requiredCapabilities,
      optionalCapabilities,
      isStateful: isStateful(daemon),
    },
  });
} catch (error) {
  const code = error instanceof DaemonError && error.code !== "core" ? error.code : "crashed";
  answer({ kind: "refused", code, message: messageOf(error) });
  parentPort?.close();
}
