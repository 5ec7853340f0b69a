import { type Contestant, DGRAM, RELIABLE, RELIABLE_1200 } from "./contestants.ts";
import { observe, perSecond, runFlow } from "./flow.ts";
import { type Job, NO_SIDE } from "./measurement.ts";

function relay(payloadBytes: number, contestant: Contestant): Job {
  const { label } = contestant;
  const key = { payloadBytes, rival: label } as const;
  return {
    id: `relay:${payloadBytes}:${label}`,
    keys: [
      { name: "relay-throughput", unit: "events/s", ...key },
      { name: "relay-forwarded", unit: "packets/s", ...key },
    ],
    async run(limits) {
      const flow = await runFlow(contestant, payloadBytes, "relayed", limits);
      const events = observe(contestant, flow);
      const packets = {
        value: perSecond(flow.relay?.forwarded ?? 0, flow.arrived),
        loss: null,
        cpuMicrosecondsPerEvent: NO_SIDE,
        peakRssBytes: NO_SIDE,
        eventsPerPacket: null,
      };
      return [events, packets];
    },
  };
}

/** One-way traffic through a third process: a netmesh relay, or a bare forwarder of datagrams. */
export const relayJobs: readonly Job[] = [
  relay(1_024, RELIABLE),
  relay(1_024, RELIABLE_1200),
  relay(1_024, DGRAM),
  relay(8_000, RELIABLE),
  relay(8_000, DGRAM),
];
