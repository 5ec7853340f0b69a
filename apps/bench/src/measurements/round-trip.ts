import type { RoundTrips, Usage } from "../protocol.ts";
import { percentile } from "../statistics.ts";
import { type StartWorker, type WorkerProcess, withWorkers } from "../worker-process.ts";
import { type Contestant, DGRAM, endSettings, FIRE_AND_FORGET, RELIABLE, TLS } from "./contestants.ts";
import { rss } from "./flow.ts";
import type { Job, Limits, Run } from "./measurement.ts";

const PAYLOADS: readonly number[] = [64, 1_024];
const CONTESTANTS: readonly Contestant[] = [RELIABLE, FIRE_AND_FORGET, DGRAM, TLS];
/** Round trips of one contestant before it is the next one's turn. */
const TURN = 25;

interface Pair {
  readonly contestant: Contestant;
  readonly pinger: WorkerProcess;
  readonly echoer: WorkerProcess;
}

/** All contestants have their processes at once and take turns, so that a busy moment of the machine meets each. */
function roundTrip(payloadBytes: number): Job {
  return {
    id: `round-trip:${payloadBytes}`,
    keys: CONTESTANTS.flatMap(({ label: rival }) => [
      { name: "round-trip-p50", unit: "µs", payloadBytes, rival },
      { name: "round-trip-p99", unit: "µs", payloadBytes, rival },
    ]),
    run: (limits) =>
      withWorkers(async (start) => {
        const pairs = await Promise.all(CONTESTANTS.map((contestant) => connect(start, contestant)));
        if (limits.warmUpSeconds > 0) await takeTurns(pairs, payloadBytes, limits.warmUpSeconds);
        for (const { pinger, echoer } of pairs) {
          await pinger.call("begin", null);
          await echoer.call("begin", null);
        }
        const found = await takeTurns(pairs, payloadBytes, limits.seconds);
        const runs: Run[] = [];
        for (const [index, pair] of pairs.entries()) {
          const usage = [
            await pair.pinger.call("usage", null),
            await pair.echoer.call("usage", null),
          ] as const;
          runs.push(...observe(pair.contestant, found[index] as RoundTrips, ...usage));
        }
        return runs;
      }),
  };
}

async function connect(start: StartWorker, contestant: Contestant): Promise<Pair> {
  const echoer = start(`${contestant.label} echoer`, contestant.rival);
  const pinger = start(`${contestant.label} pinger`, contestant.rival);
  const settings = endSettings(contestant);
  const contact = await echoer.call("listen", { settings, isEcho: true });
  await pinger.call("connect", { settings, contact });
  return { contestant, pinger, echoer };
}

/** Round trips of each pair, for `seconds` a pair. */
async function takeTurns(
  pairs: readonly Pair[],
  payloadBytes: number,
  seconds: Limits["seconds"],
): Promise<RoundTrips[]> {
  const found = pairs.map(() => ({ microseconds: [] as number[], lost: 0 }));
  const until = performance.now() + seconds * 1_000 * pairs.length;
  do {
    for (const [index, { pinger }] of pairs.entries()) {
      const { microseconds, lost } = await pinger.call("ping", { payloadBytes, count: TURN }, TURN * 1_000);
      const all = found[index] as (typeof found)[number];
      all.microseconds.push(...microseconds);
      all.lost += lost;
    }
  } while (performance.now() < until);
  return found;
}

function observe(
  { label, isReliable }: Contestant,
  { microseconds, lost }: RoundTrips,
  pinger: Usage,
  echoer: Usage,
): Run[] {
  const sent = microseconds.length + lost;
  const error = `${label} left ${lost} of ${sent} events unanswered`;
  return [50, 99].map((percent) => {
    const value = percentile(microseconds, percent);
    if (value === undefined || (isReliable && lost > 0)) return { error };
    return {
      value,
      loss: isReliable ? null : lost / sent,
      cpuMicrosecondsPerEvent: {
        sender: pinger.cpuMicroseconds / sent,
        receiver: echoer.cpuMicroseconds / sent,
        relay: null,
      },
      peakRssBytes: rss(pinger, echoer, undefined),
      eventsPerPacket: null,
    };
  });
}

/** One event there and back, one at a time. */
export const roundTripJobs: readonly Job[] = PAYLOADS.map(roundTrip);
