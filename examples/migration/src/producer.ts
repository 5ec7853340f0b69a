// Sends numbered events at a steady rate to whichever node has the daemon, each until it is answered.
import { setTimeout as pause } from "node:timers/promises";
import {
  type Contact,
  fromContact,
  fromEnvironment,
  onCommand,
  runProcess,
  tell,
} from "@netmesh/demo-processes";
import { Mesh, type MeshStream } from "@netmesh/sdk";
import {
  type Command,
  decodeAnswer,
  encodeNumber,
  type Message,
  meshSettings,
  STREAM_ID,
} from "./messages.ts";

const TELL_EVERY_MS = 20;
/** Pause before an event is sent again to the only node that might know where the daemon is. */
const RETRY_MS = 5;
const TURN_MS = 1;

await runProcess(async () => {
  const mesh = await Mesh.open(meshSettings());
  const perSecond = Number(fromEnvironment("DEMO_EVENTS_PER_SECOND"));
  const streams = new Map<bigint, MeshStream>();
  for (const contact of (JSON.parse(fromEnvironment("DEMO_NODES")) as Contact[]).map(fromContact)) {
    const { nodeId } = await mesh.connect(contact);
    const stream = mesh.openStream(nodeId, {
      streamId: STREAM_ID,
      reliability: "reliable",
      windowBytes: 1 << 22,
    });
    streams.set(nodeId, stream);
    void read(nodeId, stream);
  }
  /** Who has the daemon, as far as is known. */
  let home = 0n;
  let isProducing = false;
  let lastSent = 0;
  let answered = 0;
  /** Events that were refused, in order, and wait to be sent again. */
  let refused: number[] = [];
  let lastMs = performance.now();
  let longestPauseMs = 0;

  async function read(nodeId: bigint, stream: MeshStream): Promise<void> {
    try {
      for await (const { data } of stream) {
        const { number, movedTo } = decodeAnswer(data);
        if (movedTo !== undefined) {
          if (nodeId === home && movedTo !== 0n) home = movedTo;
          refused.push(number);
          continue;
        }
        answered++;
        const nowMs = performance.now();
        longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs);
        lastMs = nowMs;
      }
    } catch {
      // A node that was killed while it did not have the daemon.
    }
  }

  onCommand<Command>(async (command) => {
    if (command.do === "produce") {
      home = BigInt(`0x${command.home}`);
      isProducing = true;
      lastMs = performance.now();
      await produce();
    } else if (command.do === "finish") isProducing = false;
  });
  tell<Message>({ event: "ready" });
  process.once("SIGTERM", () => void mesh.shutdown({ graceMs: 0 }).then(() => process.exit()));

  async function produce(): Promise<void> {
    const startedMs = performance.now();
    let toldMs = startedMs;
    while (isProducing || answered < lastSent) {
      const nowMs = performance.now();
      const stream = streams.get(home) as MeshStream;
      const due = Math.floor(((nowMs - startedMs) * perSecond) / 1_000);
      // Refused ones first, once all that went to the old home have come back: the daemon gets them in order.
      const isSettled = answered + refused.length === lastSent;
      if (refused.length > 0 && isSettled) {
        const again = refused.sort((a, b) => a - b);
        refused = [];
        await stream.write(again.map(encodeNumber));
        await pause(RETRY_MS);
      } else if (refused.length === 0 && isProducing && due > lastSent) {
        const events: Uint8Array[] = [];
        while (lastSent < due) events.push(encodeNumber(++lastSent));
        await stream.write(events);
      }
      if (nowMs - toldMs >= TELL_EVERY_MS) {
        tell<Message>({ event: "progress", answered, longestPauseMs });
        toldMs = nowMs;
        longestPauseMs = 0;
      }
      await pause(TURN_MS);
    }
    tell<Message>({ event: "progress", answered, longestPauseMs });
    tell<Message>({ event: "finished", events: answered, gaps: 0, repeats: 0 });
  }
});
