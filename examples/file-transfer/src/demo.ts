import { randomBytes } from "node:crypto";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { DemoProcess } from "@netmesh/demo-processes";
import { makeDefaultFile } from "./default-file.ts";
import { is, type Leg, type Message, type MessageOf } from "./messages.ts";

/** The result of a run, printed as the last line with `--json`. */
export interface Summary {
  readonly bytes: number;
  readonly sha256Match: boolean;
  readonly relayed: {
    readonly mbPerSecond: number;
    readonly milliseconds: number;
    readonly packets: number;
    readonly retransmissions: number;
    readonly relayForwarded: number;
    readonly relayAudited: number;
    readonly relayOpened: number;
  };
  readonly direct: {
    readonly mbPerSecond: number;
    readonly milliseconds: number;
    readonly packets: number;
    readonly retransmissions: number;
  };
}

const BAR_WIDTH = 40;

/** Starts relay, receiver and sender as processes of their own, and sends the file over the relay and directly. */
async function run(
  file: string | undefined,
  say: (text: string) => void,
  progress: (text: string) => void,
): Promise<Summary> {
  const folder = await mkdtemp(join(tmpdir(), "netmesh-demo-"));
  const processes: DemoProcess<Message>[] = [];
  const start = (name: string, module: URL, args: string[], environment: Record<string, string>) => {
    const started = new DemoProcess<Message>(name, module, args, environment);
    processes.push(started);
    return started;
  };
  try {
    let path = file === undefined ? undefined : resolve(file);
    if (path === undefined) {
      path = join(folder, "sources.bin");
      await makeDefaultFile(fileURLToPath(new URL("../../..", import.meta.url)), path);
    }
    const { size } = await stat(path);
    const psk = randomBytes(32).toString("hex");

    const relay = start("relay", relayCommand(), ["--bind", "127.0.0.1:0", "--json", "--audit"], {
      NETMESH_PSK: psk,
      NETMESH_IDENTITY: randomBytes(32).toString("hex"),
    });
    const relayContact = await relay.expect(is("listening"));
    say(`relay     process ${relay.pid}  ${relayContact.address}  node ${relayContact.nodeId}`);
    const shared = { DEMO_PSK: psk, DEMO_RELAY: JSON.stringify(relayContact), DEMO_FOLDER: folder };

    const receiver = start("receiver", new URL("./receiver.ts", import.meta.url), [], shared);
    const receiverContact = await receiver.expect(is("listening"));
    say(`receiver  process ${receiver.pid}  ${receiverContact.address}  node ${receiverContact.nodeId}`);

    const sender = start("sender", new URL("./sender.ts", import.meta.url), [], {
      ...shared,
      DEMO_RECEIVER: JSON.stringify(receiverContact),
      DEMO_FILE: path,
    });
    say(`sender    process ${sender.pid}  ${path} (${size} bytes)`);
    sender.onMessage((message) => {
      if (message.event === "progress") progress(bar(message.leg, message.bytes, message.total));
    });

    const relayed = {
      sent: await sender.expect(is("sent", "relayed")),
      got: await receiver.expect(is("received", "relayed")),
    };
    const direct = {
      sent: await sender.expect(is("sent", "direct")),
      got: await receiver.expect(is("received", "direct")),
    };
    if (relayed.sent.path !== "relayed" || direct.sent.path !== "direct")
      throw new Error("a transfer took the wrong path");
    await Promise.all([sender.stop(), receiver.stop(), relay.stop()]);
    const stopped = await relay.expect(is("stopped"));

    const matches = ({ sent, got }: typeof relayed) =>
      got.complete && got.sha256 === sent.sha256 && got.bytes === size && sent.bytes === size;
    return {
      bytes: size,
      sha256Match: matches(relayed) && matches(direct),
      relayed: {
        ...figures(relayed.sent),
        relayForwarded: stopped.forwarded,
        relayAudited: stopped.relayAudited,
        relayOpened: stopped.relayOpened,
      },
      direct: figures(direct.sent),
    };
  } finally {
    await Promise.all(processes.map((process) => process.stop()));
    await rm(folder, { recursive: true, force: true });
  }
}

function figures({ bytes, milliseconds, packets, retransmissions }: MessageOf<"sent">): Summary["direct"] {
  return {
    mbPerSecond: Number((bytes / 1e3 / Math.max(milliseconds, 0.001)).toFixed(2)),
    milliseconds: Math.round(milliseconds),
    packets,
    retransmissions,
  };
}

/** The relay's command, from its source. */
function relayCommand(): URL {
  return new URL("./src/cli.ts", import.meta.resolve("@netmesh/relay/package.json"));
}

function bar(leg: Leg, bytes: number, total: number): string {
  const share = total === 0 ? 1 : bytes / total;
  const filled = Math.round(share * BAR_WIDTH);
  return `${leg.padEnd(8)} [${"█".repeat(filled)}${" ".repeat(BAR_WIDTH - filled)}] ${Math.round(share * 100)} %`;
}

function describe(summary: Summary): string {
  const line = (leg: string, { mbPerSecond, milliseconds, packets, retransmissions }: Summary["direct"]) =>
    `${leg.padEnd(9)} ${mbPerSecond.toFixed(1).padStart(7)} MB/s  ${milliseconds} ms  ${packets} packets  ${retransmissions} retransmitted`;
  const { relayForwarded, relayAudited, relayOpened } = summary.relayed;
  return [
    `file      ${summary.bytes} bytes, SHA-256 ${summary.sha256Match ? "matches on both ways" : "DOES NOT MATCH"}`,
    line("relayed", summary.relayed),
    line("direct", summary.direct),
    `relay     forwarded ${relayForwarded} packets, tried all of its keys on ${relayAudited} of them, opened ${relayOpened}`,
  ].join("\n");
}

const { values, positionals } = parseArgs({ options: { json: { type: "boolean" } }, allowPositionals: true });
const isJson = values.json === true;
const { stdout } = process;
const say = (text: string) => {
  if (!isJson) stdout.write(`${text}\n`);
};
const progress = (text: string) => {
  if (!isJson && stdout.isTTY) stdout.write(`\r\u001b[K${text}`);
};
try {
  const summary = await run(positionals[0], say, progress);
  if (stdout.isTTY && !isJson) stdout.write("\r\u001b[K");
  say(describe(summary));
  if (isJson) stdout.write(`${JSON.stringify(summary)}\n`);
  process.exitCode = summary.sha256Match && summary.relayed.relayOpened === 0 ? 0 : 1;
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
