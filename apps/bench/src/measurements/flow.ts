import type { Arrived, Usage } from "../protocol.ts";
import { type WorkerProcess, withWorkers } from "../worker-process.ts";
import { type Contestant, endSettings } from "./contestants.ts";
import type { Limits, Observation, PerSide } from "./measurement.ts";

/** One-way traffic as fast as it goes, and what it cost. */
export interface Flow {
  readonly sent: number;
  readonly arrived: Arrived;
  readonly sender: Usage;
  readonly receiver: Usage;
  readonly relay: Usage | undefined;
}

/** Sends events from one process to another, straight or through a third one. */
export async function runFlow(
  contestant: Contestant,
  payloadBytes: number,
  path: "direct" | "relayed",
  { seconds, warmUpSeconds }: Limits,
): Promise<Flow> {
  return await withWorkers(async (start) => {
    const { rival, isReliable } = contestant;
    const receiver = start("receiver", rival);
    const sender = start("sender", rival);
    const relay = path === "relayed" ? start("relay", rival) : undefined;
    let settings = endSettings(contestant);
    if (relay !== undefined) {
      settings = { ...settings, relay: await relay.call("relay", { settings }) };
    }
    const contact = await receiver.call("listen", { settings, isEcho: false });
    await sender.call("connect", { settings, contact });
    const all = relay === undefined ? [sender, receiver] : [sender, receiver, relay];

    const flood = async (milliseconds: number) => {
      await Promise.all(all.map((worker) => worker.call("begin", null)));
      const { sent } = await sender.call(
        "flood",
        { payloadBytes, batchEvents: contestant.batchEvents ?? 1, milliseconds },
        milliseconds,
      );
      const arrived = await receiver.call("settle", { expected: sent, isReliable }, milliseconds);
      return { sent, arrived };
    };
    if (warmUpSeconds > 0) await flood(warmUpSeconds * 1_000);
    const { sent, arrived } = await flood(seconds * 1_000);
    if (arrived.events < 2) throw new Error(`${arrived.events} of ${sent} events arrived`);
    const usage = (worker: WorkerProcess) => worker.call("usage", null);
    return {
      sent,
      arrived,
      sender: await usage(sender),
      receiver: await usage(receiver),
      relay: relay === undefined ? undefined : await usage(relay),
    };
  });
}

/** A flow's figures, with events per second at the receiver as the value. */
export function observe({ isReliable }: Contestant, flow: Flow): Observation {
  const { sent, arrived, sender, receiver, relay } = flow;
  return {
    value: perSecond(arrived.events - 1, arrived),
    loss: isReliable ? null : 1 - arrived.events / sent,
    cpuMicrosecondsPerEvent: {
      sender: sender.cpuMicroseconds / sent,
      receiver: receiver.cpuMicroseconds / arrived.events,
      relay: relay === undefined ? null : relay.cpuMicroseconds / arrived.events,
    },
    peakRssBytes: rss(sender, receiver, relay),
    eventsPerPacket: sender.packetsSent === null ? null : sent / sender.packetsSent,
  };
}

/** A count over the time in which the events arrived. */
export function perSecond(count: number, { milliseconds }: Arrived): number {
  return (count * 1_000) / milliseconds;
}

/** Peak memory of the processes that took part. */
export function rss(sender: Usage, receiver: Usage, relay: Usage | undefined): PerSide {
  return {
    sender: sender.peakRssBytes,
    receiver: receiver.peakRssBytes,
    relay: relay?.peakRssBytes ?? null,
  };
}
