import { within } from "./deadline.ts";
import type { Calls, Request, Response, RoundTrips, Usage } from "./protocol.ts";
import { loadRival } from "./rivals/catalogue.ts";
import type { Link, Relay, RivalName } from "./rivals/rival.ts";
import { Tally } from "./tally.ts";

/** Events between two looks at the clock. */
const CLOCK_INTERVAL = 32;
/** How long a ping waits for its answer before it counts as lost. */
const ANSWER_MS = 1_000;

type Handlers = { readonly [C in keyof Calls]: (params: Calls[C]["params"]) => Promise<Calls[C]["result"]> };

/** What this process runs; loaded while others start. */
const rivalName = process.argv[2] as RivalName;
const rival = loadRival(rivalName);

/** The sender's link, the listener's last one, and the relay: whichever of them this process has. */
let link: Link | undefined;
let relay: Relay | undefined;
const tally = new Tally();
let cpuAtBegin: NodeJS.CpuUsage = process.cpuUsage();
let packetsAtBegin = 0;
let forwardedAtBegin = 0;

const handlers: Handlers = {
  async listen({ settings, isEcho }) {
    const end = await (await rival).open(settings);
    return await end.listen((accepted) => {
      link = accepted;
      accepted.onEvent = isEcho ? (event) => void accepted.send(event) : tally.add;
      accepted.onBatch = tally.addAll;
    });
  },

  async relay({ settings }) {
    relay = await (await rival).relay?.(settings);
    if (relay === undefined) throw new Error(`${rivalName} has no relay`);
    return relay.contact;
  },

  async connect({ settings, contact }) {
    const end = await (await rival).open(settings);
    link = await end.connect(contact);
    return null;
  },

  async handshake({ settings, contact }) {
    const end = await (await rival).open(settings);
    try {
      const start = performance.now();
      await end.connect(contact);
      return { milliseconds: performance.now() - start };
    } finally {
      await end.close();
    }
  },

  async begin() {
    tally.clear();
    packetsAtBegin = link?.packetsSent() ?? 0;
    forwardedAtBegin = relay?.forwarded() ?? 0;
    cpuAtBegin = process.cpuUsage();
    return null;
  },

  async flood({ payloadBytes, batchEvents, milliseconds }) {
    const to = connected();
    const event = new Uint8Array(payloadBytes).fill(0x5a);
    const until = performance.now() + milliseconds;
    let sent = 0;
    if (batchEvents > 1) {
      if (to.sendAll === undefined) throw new Error("this link takes events one by one");
      const events = Array.from({ length: batchEvents }, () => event);
      do {
        await to.sendAll(events);
        sent += batchEvents;
      } while (performance.now() < until);
      return { sent };
    }
    do {
      for (let i = 0; i < CLOCK_INTERVAL; i++) {
        const room = to.send(event);
        if (room !== undefined) await room;
      }
      sent += CLOCK_INTERVAL;
    } while (performance.now() < until);
    return { sent };
  },

  settle: ({ expected, isReliable }) => tally.settle(expected, isReliable),

  ping: ({ payloadBytes, count }) => ping(connected(), payloadBytes, count),

  // Loaded when asked for: a worker's memory is that of what it runs.
  async floodEngine({ kinds, packetsPerSecond, warmUpMs, milliseconds }) {
    const { floodEngine } = await import("./flood/engine-flood.ts");
    return floodEngine(kinds, packetsPerSecond, warmUpMs, milliseconds);
  },

  async forge({ kinds, contact, packetsPerSecond, milliseconds }) {
    const { floodSocket } = await import("./flood/socket-flood.ts");
    return { sent: await floodSocket(kinds, contact, packetsPerSecond, milliseconds) };
  },

  async usage(): Promise<Usage> {
    const { user, system } = process.cpuUsage(cpuAtBegin);
    const packets = link?.packetsSent();
    return {
      cpuMicroseconds: user + system,
      peakRssBytes: process.resourceUsage().maxRSS * 1024,
      packetsSent: packets === undefined ? null : packets - packetsAtBegin,
      forwarded: (relay?.forwarded() ?? 0) - forwardedAtBegin,
    };
  },
};

async function ping(to: Link, payloadBytes: number, count: number): Promise<RoundTrips> {
  const event = new Uint8Array(payloadBytes);
  const number = new DataView(event.buffer);
  const microseconds: number[] = [];
  for (let i = 0; i < count; i++) {
    number.setUint32(0, i);
    const start = performance.now();
    const answered = new Promise<void>((resolve) => {
      // The answer to an event that was given up is not that to the next one.
      to.onEvent = ([a = 0, b = 0, c = 0, d = 0]) => {
        if (((a << 24) | (b << 16) | (c << 8) | d) === i) resolve();
      };
    });
    try {
      await within(ANSWER_MS, "the answer", Promise.all([to.send(event), answered]));
      microseconds.push((performance.now() - start) * 1_000);
    } catch {
      // Counted by its absence.
    }
  }
  return { microseconds, lost: count - microseconds.length };
}

function connected(): Link {
  if (link === undefined) throw new Error("there is no link");
  return link;
}

async function answer({ id, call, params }: Request): Promise<Response> {
  try {
    return { id, result: await (handlers[call] as (params: unknown) => Promise<unknown>)(params) };
  } catch (error) {
    return { id, error: (error as Error).message };
  }
}

process.on("message", (request: Request) => {
  void answer(request).then((response) => process.send?.(response));
});
// Nobody is left to work for: the parent has stopped this worker, or has gone itself.
process.once("disconnect", () => process.exit());
