// A node that may have the daemon: gives it the events that come over streams, and moves it when told to.
import {
  fromContact,
  fromEnvironment,
  onCommand,
  runProcess,
  tell,
  toContact,
} from "@netmesh/demo-processes";
import { DaemonError, DaemonRuntime, Mesh, type MeshStream } from "@netmesh/sdk";
import { Counter, PagedCounter, tallyOf } from "./counter.ts";
import {
  type Command,
  decodeNumber,
  encodeAnswer,
  encodeNumber,
  KIND,
  type Message,
  meshSettings,
  STREAM_ID,
} from "./messages.ts";

/** A move to a node that says nothing ends after this, in milliseconds. */
const PHASE_TIMEOUT_MS = 2_000;

await runProcess(async () => {
  const mesh = await Mesh.open(meshSettings());
  const runtime = new DaemonRuntime(mesh, { phaseTimeoutMs: PHASE_TIMEOUT_MS });
  let originHash = 0n;
  const stateBytes = Number(fromEnvironment("DEMO_STATE_BYTES"));
  const isPaged = fromEnvironment("DEMO_DELTAS") === "yes";
  runtime.register(KIND, () => new (isPaged ? PagedCounter : Counter)(stateBytes));
  await runtime.start();

  const answer = async (number: number, stream: MeshStream) => {
    let movedTo: bigint | undefined;
    try {
      await runtime.deliver(originHash, encodeNumber(number));
    } catch (error) {
      if (!(error instanceof DaemonError)) throw error;
      movedTo = error.node ?? 0n;
    }
    await stream.write(encodeAnswer({ number, movedTo }));
  };
  mesh.addEventListener("stream", ({ peer, streamId }) => {
    if (streamId !== STREAM_ID) return;
    const stream = mesh.openStream(peer.nodeId, { streamId, reliability: "reliable" });
    void runProcess(async () => {
      for await (const { data } of stream) void answer(decodeNumber(data), stream);
    });
  });

  onCommand<Command>(async (command) => {
    switch (command.do) {
      case "connect":
        for (const contact of command.to) await mesh.connect(fromContact(contact));
        return tell<Message>({ event: "ready" });
      case "spawn":
        ({ originHash } = await runtime.spawn(KIND));
        return tell<Message>({ event: "spawned", originHash: originHash.toString(16) });
      case "expect":
        originHash = BigInt(`0x${command.originHash}`);
        // One that has left from here is expected back already.
        runtime.forget(originHash);
        runtime.expectMigration(KIND, originHash);
        return;
      case "move":
        return await move(BigInt(`0x${command.to}`));
      case "finish": {
        const [output] = await runtime.deliver(originHash, encodeNumber(0));
        return tell<Message>({ event: "finished", ...tallyOf(output?.payload as Uint8Array) });
      }
    }
  });
  tell<Message>({ event: "listening", ...toContact(mesh.contact) });
  process.once(
    "SIGTERM",
    () =>
      void runtime
        .shutdown(0)
        .then(() => mesh.shutdown())
        .then(() => process.exit()),
  );

  async function move(to: bigint): Promise<void> {
    const startedMs = performance.now();
    try {
      const migration = await runtime.migrate(originHash, to, { retryNotReadyMs: 0 });
      void (async () => {
        for await (const phase of migration.phases()) tell<Message>({ event: "phase", phase });
      })().catch(() => undefined);
      const { bytes, pauseMs } = await migration.done;
      tell<Message>({
        event: "moved",
        milliseconds: performance.now() - startedMs,
        bytes,
        heldMs: pauseMs,
        peakRssBytes: process.resourceUsage().maxRSS * 1_024,
      });
    } catch (error) {
      tell<Message>({ event: "stayed", code: (error as { code: string }).code });
    }
  }
});
