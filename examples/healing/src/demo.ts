import { randomBytes } from "node:crypto";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Contact, DemoProcess, is } from "@netmesh/demo-processes";
import type { Message, Progress } from "./messages.ts";

/** The result of a run, printed as the last line with `--json`. */
export interface Summary {
  readonly bytes: number;
  readonly sha256Match: boolean;
  readonly kills: readonly Kill[];
}

/** What killing a relay did to the transfer. */
export interface Kill {
  readonly relay: string;
  /** Longest time in which nothing new arrived, in milliseconds. */
  readonly gapMs: number;
}

/** A relay process on the way. */
interface Relay {
  readonly name: string;
  readonly contact: Contact;
  readonly process: DemoProcess<Message>;
}

interface Options {
  readonly file: string | undefined;
  readonly heartbeatMs: number;
  readonly bytesPerSecond: number;
}

/** Relays beside the sender, and as many beside the receiver. */
const RELAYS_PER_SIDE = 3;
/** All but the last on each side. */
const KILLS = 2 * (RELAYS_PER_SIDE - 1);
/** The transfer runs so long before a kill, and is watched so long after it. */
const BETWEEN_KILLS_MS = 1_600;
const FILE_SECONDS = 2 + (KILLS + 1) * (BETWEEN_KILLS_MS / 1_000);

/** Sends a file from sender to receiver over two relays, and kills the ones in use, one after the other. */
async function run(options: Options, say: (text: string) => void): Promise<Summary> {
  const folder = await mkdtemp(join(tmpdir(), "netmesh-healing-"));
  const processes: DemoProcess<Message>[] = [];
  const shared = {
    DEMO_PSK: randomBytes(32).toString("hex"),
    DEMO_HEARTBEAT_MS: String(options.heartbeatMs),
    DEMO_BYTES_PER_SECOND: String(options.bytesPerSecond),
  };
  const start = (name: string, neighbors: readonly Relay[], environment: Record<string, string> = {}) => {
    const module = new URL(`./${name.split(" ")[0]}.ts`, import.meta.url);
    const started = new DemoProcess<Message>(name, module, [], {
      ...shared,
      DEMO_NEIGHBORS: JSON.stringify(neighbors.map(({ contact }) => contact)),
      ...environment,
    });
    processes.push(started);
    return started;
  };
  const startRelays = async (letters: string, neighbors: readonly Relay[]): Promise<Relay[]> => {
    const starting = [...letters].map(async (letter) => {
      const name = `relay ${letter}`;
      const started = start(name, neighbors);
      const contact = await started.expect(is("listening"));
      say(`${name}   process ${started.pid}  ${contact.address}`);
      return { name, contact, process: started };
    });
    return await Promise.all(starting);
  };
  try {
    const file = options.file === undefined ? join(folder, "random.bin") : resolve(options.file);
    if (options.file === undefined)
      await writeFile(file, randomBytes(Math.ceil(FILE_SECONDS * options.bytesPerSecond)));

    await access(file);
    const far = await startRelays("DEF", []);
    const near = await startRelays("ABC", far);
    const receiver = start("receiver", far);
    const contact = await receiver.expect(is("listening"));
    const sender = start("sender", near, { DEMO_FILE: file, DEMO_RECEIVER: JSON.stringify(contact) });
    say(`receiver  process ${receiver.pid}  ${contact.address}`);
    say(`sender    process ${sender.pid}  connected to A, B and C, the receiver to D, E and F`);

    const nextHop = { sender: "", receiver: "" };
    let progress: Progress = { bytes: 0, longestPauseMs: 0 };
    let longestPauseMs = 0;
    let lastMs = performance.now();
    sender.onMessage((message) => {
      if (message.event === "path") nextHop.sender = message.address;
    });
    receiver.onMessage((message) => {
      if (message.event === "path") nextHop.receiver = message.address;
      if (message.event !== "progress") return;
      progress = message;
      longestPauseMs = Math.max(longestPauseMs, message.longestPauseMs);
      lastMs = performance.now();
    });
    const failed = sender.failure().then(({ message }) => {
      throw new Error(message);
    });
    failed.catch(() => undefined);
    await Promise.race([receiver.expect(is("progress")), failed]);

    const kills: Kill[] = [];
    for (let i = 0; i < KILLS; i++) {
      await pause(BETWEEN_KILLS_MS / 2);
      const address = i % 2 === 0 ? nextHop.sender : nextHop.receiver;
      const relay = [...near, ...far].find((each) => each.contact.address === address);
      if (relay === undefined) throw new Error(`nothing is known to be in use: ${address}`);
      const before = progress.bytes;
      longestPauseMs = 0;
      relay.process.kill();
      lastMs = performance.now();
      await pause(BETWEEN_KILLS_MS / 2);
      const gapMs = Math.round(Math.max(longestPauseMs, performance.now() - lastMs));
      kills.push({ relay: relay.name, gapMs });
      say(
        `killed    ${relay.name}: ${gapMs} ms without anything new, ${progress.bytes - before} bytes since`,
      );
    }
    const [{ sha256 }, received] = [await sender.expect(is("sent")), await receiver.expect(is("received"))];
    return { bytes: received.bytes, sha256Match: received.sha256 === sha256, kills };
  } finally {
    await Promise.all(processes.map((each) => each.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}

const { values, positionals } = parseArgs({
  options: {
    json: { type: "boolean" },
    "heartbeat-ms": { type: "string", default: "50" },
    "bytes-per-second": { type: "string", default: "2000000" },
  },
  allowPositionals: true,
});
const say = (text: string) => {
  if (values.json !== true) process.stdout.write(`${text}\n`);
};
try {
  const [file] = positionals;
  const summary = await run(
    {
      file,
      heartbeatMs: Number(values["heartbeat-ms"]),
      bytesPerSecond: Number(values["bytes-per-second"]),
    },
    say,
  );
  const gaps = summary.kills.map(({ gapMs }) => gapMs);
  say(
    `file      ${summary.bytes} bytes, SHA-256 ${summary.sha256Match ? "matches" : "DOES NOT MATCH"}; longest gap ${Math.max(...gaps)} ms`,
  );
  if (values.json === true) process.stdout.write(`${JSON.stringify(summary)}\n`);
  process.exitCode = summary.sha256Match ? 0 : 1;
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
