/**
 * A program that does what a mesh node does about its router: binds a UDP port, keeps a mapping of it, and tells on its output,
 * a line of JSON each, what it publishes and what arrives. It shuts down when its input ends.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import {
  type PortMappingStats,
  PortMappingTask,
  type PublishedReflex,
  ReflexMappingSink,
} from "../src/index.ts";
import { SystemMapper, systemTimers } from "../src/node/index.ts";

/** What the program is told on its command line, as JSON. */
export interface MappedNodeOptions {
  readonly port: number;
  readonly protocols: readonly ("pcp" | "nat-pmp" | "upnp")[];
  readonly renewalMs: number;
}

/** A line that the program prints. */
export type MappedNodeLine =
  | { readonly event: "published"; readonly address: string | null; readonly afterMs: number }
  | { readonly event: "renewed"; readonly count: number; readonly variant: string | null }
  | { readonly event: "datagram"; readonly text: string; readonly from: string }
  | { readonly event: "waiting"; readonly kind: string; readonly detail: string }
  | { readonly event: "exited"; readonly counters: Readonly<Record<string, number>> };

const { port, protocols, renewalMs } = JSON.parse(process.argv[2] ?? "") as MappedNodeOptions;

function tell(line: MappedNodeLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const socket = createSocket("udp4");
socket.on("message", (bytes, from) => tell({ event: "datagram", text: String(bytes), from: from.address }));
socket.bind(port);
await once(socket, "listening");

const startMs = performance.now();
const published: PublishedReflex = { natClass: "unknown", reflex: undefined, pinnedBy: undefined };
const stats: PortMappingStats = {
  portMappingActive: false,
  portMappingExternal: undefined,
  portMappingRenewals: 0,
};
const client = new SystemMapper({ protocols });
const sink = new ReflexMappingSink(published, stats, () => {
  tell({
    event: "published",
    address: published.reflex?.key ?? null,
    afterMs: Math.round(performance.now() - startMs),
  });
});
const task = new PortMappingTask({
  client,
  sink: {
    applyInstall: (mapping) => sink.applyInstall(mapping),
    applyRenewal: (mapping) => {
      sink.applyRenewal(mapping);
      tell({ event: "renewed", count: stats.portMappingRenewals, variant: client.variant ?? null });
    },
    applyRevoke: () => sink.applyRevoke(),
  },
  internalPort: port,
  timers: systemTimers,
  random: { fill: (bytes) => void crypto.getRandomValues(bytes) },
  renewalMs,
  reprobeMs: [2_000],
});

const shutdown = new AbortController();
process.stdin.on("end", () => shutdown.abort()).resume();
let told = false;
const look = setInterval(() => {
  if (task.phase === "waiting" && !told) {
    tell({ event: "waiting", kind: task.lastError?.kind ?? "", detail: task.lastError?.detail ?? "" });
  }
  told = task.phase === "waiting";
}, 50);
await task.run(shutdown.signal);
clearInterval(look);
socket.close();
tell({ event: "exited", counters: { ...client.counters } });
