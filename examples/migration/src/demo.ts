import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type Contact, DemoProcess, is } from "@netmesh/demo-processes";
import type { Command, Message, Moved, Tally } from "./messages.ts";

/** The result of a run, printed as the last line with `--json`. */
export interface Summary {
  /** Events sent, each answered once. */
  readonly sent: number;
  /** What the daemon has counted in the end. */
  readonly counted: Tally;
  readonly moves: readonly Move[];
}

/** What became of a move, and how long the producer waited for an answer around it at most. */
export interface Move {
  readonly from: string;
  readonly to: string;
  readonly outcome: "moved" | "stayed";
  /** What its source has seen of it; null when the daemon stayed. */
  readonly details: Moved | null;
  readonly pauseMs: number;
}

interface Node {
  readonly name: string;
  readonly contact: Contact;
  readonly process: DemoProcess<Message>;
}

interface Options {
  readonly eventsPerSecond: number;
  readonly stateBytes: number;
  /** Whether the daemon tells what has changed, so that most of its state travels while it runs. */
  readonly withDeltas: boolean;
  /** Moves before the last one. */
  readonly moves: number;
  /** Whether the last one's target is killed. */
  readonly kills: boolean;
}

/** The load runs so long before and after each move. */
const AROUND_MS = 600;
/** A move that its target does not survive is given up by then. */
const GIVEN_UP_MS = 30_000;

/** Moves a counting daemon from node to node and back, kills one in the middle of a move, and counts. */
async function run(options: Options, say: (text: string) => void): Promise<Summary> {
  const processes: DemoProcess<Message>[] = [];
  const psk = randomBytes(32).toString("hex");
  const start = (module: string, name: string, environment: Record<string, string> = {}) => {
    const url = new URL(`./${module}.ts`, import.meta.url);
    const started = new DemoProcess<Message>(name, url, [], {
      DEMO_PSK: psk,
      DEMO_STATE_BYTES: String(options.stateBytes),
      DEMO_DELTAS: options.withDeltas ? "yes" : "no",
      ...environment,
    });
    processes.push(started);
    return started;
  };
  try {
    const nodes = await Promise.all(
      ["A", "B", "C"].map(async (name): Promise<Node> => {
        const started = start("node", `node ${name}`);
        return { name, contact: await started.expect(is("listening")), process: started };
      }),
    );
    for (const { name, contact, process } of nodes)
      say(`node ${name}    process ${process.pid}  ${contact.address}`);
    const command = ({ process }: { readonly process: DemoProcess<Message> }, what: Command) =>
      process.command(what);
    const [a, b, c] = nodes as [Node, Node, Node];
    // Around, so that each has a session with each.
    for (const [from, to] of [
      [a, b],
      [b, c],
      [c, a],
    ] as const) {
      command(from, { do: "connect", to: [to.contact] });
      await from.process.expect(is("ready"));
    }
    const producer = start("producer", "producer", {
      DEMO_NODES: JSON.stringify(nodes.map(({ contact }) => contact)),
      DEMO_EVENTS_PER_SECOND: String(options.eventsPerSecond),
    });
    await producer.expect(is("ready"));
    command(a, { do: "spawn" });
    const { originHash } = await a.process.expect(is("spawned"));

    let longestPauseMs = 0;
    producer.onMessage((message) => {
      if (message.event === "progress") longestPauseMs = Math.max(longestPauseMs, message.longestPauseMs);
    });
    producer.command({ do: "produce", originHash, home: a.contact.nodeId } satisfies Command);
    say(
      `daemon    ${originHash} on A, ${options.eventsPerSecond} events a second, ${options.stateBytes} bytes of state`,
    );

    const moves: Move[] = [];
    const move = async (from: Node, to: Node, isFatal: boolean) => {
      await pause(AROUND_MS);
      longestPauseMs = 0;
      command(to, { do: "expect", originHash });
      const settled = new Promise<Extract<Message, { event: "moved" | "stayed" }>>((resolve) => {
        from.process.onMessage((message) => {
          if (isFatal && message.event === "phase") to.process.kill();
          if (message.event === "moved" || message.event === "stayed") resolve(message);
        });
      });
      command(from, { do: "move", to: to.contact.nodeId });
      const outcome = await within(GIVEN_UP_MS, `the move from ${from.name} to ${to.name}`, settled);
      await pause(AROUND_MS);
      const pauseMs = Math.round(longestPauseMs);
      const details = outcome.event === "moved" ? outcome : null;
      moves.push({ from: from.name, to: to.name, outcome: outcome.event, details, pauseMs });
      const what =
        outcome.event === "moved"
          ? `moved in ${Math.round(outcome.milliseconds)} ms`
          : `${isFatal ? `${to.name} was killed meanwhile, ` : ""}the daemon stays: ${outcome.code}`;
      say(`${from.name} to ${to.name}    ${what}; the producer waited ${pauseMs} ms at most`);
    };
    const around = [a, b, c];
    const at = (i: number) => around[i % around.length] as Node;
    for (let i = 0; i < options.moves; i++) await move(at(i), at(i + 1), false);
    const last = at(options.moves);
    if (options.kills) await move(last, at(options.moves + 1), true);

    producer.command({ do: "finish" } satisfies Command);
    const sent = await producer.expect(is("finished"));
    command(last, { do: "finish" });
    const { events, gaps, repeats } = await last.process.expect(is("finished"));
    return { sent: sent.events, counted: { events, gaps, repeats }, moves };
  } finally {
    await Promise.all(processes.map((each) => each.stop()));
  }
}

function within<T>(milliseconds: number, what: string, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} came to nothing`)), milliseconds);
    promise.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const { values } = parseArgs({
  options: {
    json: { type: "boolean" },
    "events-per-second": { type: "string", default: "10000" },
    "state-bytes": { type: "string", default: String(1 << 20) },
    deltas: { type: "boolean", default: false },
    moves: { type: "string", default: "3" },
    "no-kill": { type: "boolean", default: false },
  },
});
const say = (text: string) => {
  if (values.json !== true) process.stdout.write(`${text}\n`);
};
try {
  const summary = await run(
    {
      eventsPerSecond: Number(values["events-per-second"]),
      stateBytes: Number(values["state-bytes"]),
      withDeltas: values.deltas,
      moves: Number(values.moves),
      kills: !values["no-kill"],
    },
    say,
  );
  const { sent, counted } = summary;
  const isWhole = counted.events === sent && counted.gaps === 0 && counted.repeats === 0;
  say(
    `counted   ${counted.events} of ${sent} events, ${counted.gaps} missing, ${counted.repeats} repeated${isWhole ? "" : ": NOT WHOLE"}`,
  );
  if (values.json === true) process.stdout.write(`${JSON.stringify(summary)}\n`);
  process.exitCode = isWhole ? 0 : 1;
} catch (error) {
  process.stderr.write(`demo: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
