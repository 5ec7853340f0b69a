import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import type { Mesh } from "@netmesh/sdk";
import { openMesh, toPeer } from "../rivals/netmesh.ts";
import type { EndSettings } from "../rivals/rival.ts";
import { percentile } from "../statistics.ts";
import { type StartWorker, type WorkerProcess, withWorkers } from "../worker-process.ts";
import { type Job, NO_SIDE, type Observation } from "./measurement.ts";

/** Relays between the two ends; one that was killed is replaced before the next kill. */
const RELAYS = 3;
/** Pause between two events, in milliseconds. */
const EVENT_MS = 2;
const EVENT_BYTES = 4;
/** Kills in one run, for each second of it. */
const KILLS_PER_SECOND = 4;
/** From one kill to the next at least: long enough for pauses far beyond any bound. */
const KILL_INTERVAL_MS = 1_500;
const STREAM = { streamId: 1n, reliability: "reliable" } as const;

/** A stream between two meshes in this process whose relays are processes of their own. */
class Patient {
  readonly #start: StartWorker;
  readonly #settings: EndSettings;
  readonly #ends: { readonly from: Mesh; readonly to: Mesh };
  readonly #relays = new Map<string, WorkerProcess>();
  #isWriting = true;
  #written = 0;
  #read = 0;
  #lastMs = 0;
  #longestMs = 0;
  #failure: unknown;

  constructor(start: StartWorker, settings: EndSettings, from: Mesh, to: Mesh) {
    this.#start = start;
    this.#settings = settings;
    this.#ends = { from, to };
  }

  /** Connects the ends over the first relay, and starts the stream. */
  async begin(): Promise<void> {
    const { from, to } = this.#ends;
    const first = await this.addRelay();
    for (let i = 1; i < RELAYS; i++) await this.addRelay();
    await from.connectVia(first, to.contact);
    void this.#write();
    void this.#readAll();
  }

  /** Starts a relay that both ends know. */
  async addRelay(): Promise<bigint> {
    const worker = this.#start("relay", "netmesh-reliable");
    const contact = toPeer(await worker.call("relay", { settings: this.#settings }));
    for (const end of Object.values(this.#ends)) await end.connect(contact);
    this.#relays.set(contact.address, worker);
    return contact.nodeId;
  }

  /** Kills the relay in use; resolves with the longest pause between two events that followed. */
  async kill(): Promise<number> {
    const { from, to } = this.#ends;
    const address = from.peer(to.nodeId)?.address ?? "";
    const inUse = this.#relays.get(address);
    if (inUse === undefined) throw new Error(`the stream does not use a relay that lives, but ${address}`);
    this.#relays.delete(address);
    this.#lastMs = performance.now();
    this.#longestMs = 0;
    inUse.kill();
    await pause(KILL_INTERVAL_MS);
    if (this.#failure !== undefined) throw this.#failure;
    return Math.max(this.#longestMs, performance.now() - this.#lastMs);
  }

  /** Ends the stream; rejects when anything was lost, repeated or out of order. */
  async end(): Promise<void> {
    this.#isWriting = false;
    await pause(KILL_INTERVAL_MS);
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#read !== this.#written) throw new Error(`${this.#read} of ${this.#written} events arrived`);
  }

  async #write(): Promise<void> {
    const { from, to } = this.#ends;
    const stream = from.openStream(to.nodeId, STREAM);
    try {
      while (this.#isWriting) {
        const event = new Uint8Array(EVENT_BYTES);
        new DataView(event.buffer).setUint32(0, this.#written++);
        await stream.write(event);
        await pause(EVENT_MS);
      }
    } catch (error) {
      this.#failure = error;
    }
  }

  async #readAll(): Promise<void> {
    const { from, to } = this.#ends;
    try {
      for await (const { data } of to.openStream(from.nodeId, STREAM)) {
        const nowMs = performance.now();
        this.#longestMs = Math.max(this.#longestMs, nowMs - this.#lastMs);
        this.#lastMs = nowMs;
        const number = new DataView(data.buffer, data.byteOffset).getUint32(0);
        if (number !== this.#read++) throw new Error(`event ${number} arrived in place of ${this.#read - 1}`);
      }
    } catch (error) {
      this.#failure ??= error;
    }
  }
}

function healing(heartbeatMs: number): Job {
  const key = { unit: "ms", payloadBytes: EVENT_BYTES, rival: `heartbeats-${heartbeatMs}-ms` } as const;
  return {
    id: `healing:${heartbeatMs}`,
    keys: [
      { name: "healing-p50", ...key },
      { name: "healing-p99", ...key },
      { name: "healing-max", ...key },
    ],
    run: ({ seconds }) =>
      withWorkers(async (start) => {
        const settings: EndSettings = { secret: randomBytes(32).toString("hex"), heartbeatMs };
        await using from = await openMesh(settings);
        await using to = await openMesh(settings);
        const patient = new Patient(start, settings, from, to);
        await patient.begin();
        // The code is compiled before it counts.
        await pause(KILL_INTERVAL_MS);
        const pausesMs: number[] = [];
        const kills = Math.max(1, Math.round(seconds * KILLS_PER_SECOND));
        for (let i = 0; i < kills; i++) {
          pausesMs.push(await patient.kill());
          await patient.addRelay();
        }
        await patient.end();
        return [50, 99, 100].map(
          (rank): Observation => ({
            value: percentile(pausesMs, rank) as number,
            loss: 0,
            cpuMicrosecondsPerEvent: NO_SIDE,
            peakRssBytes: NO_SIDE,
            eventsPerPacket: null,
          }),
        );
      }),
  };
}

/**
 * A stream of 500 events a second whose relay is killed again and again: the longest pause at its reader after each kill.
 * A run fails when an event is lost, repeated or out of order.
 */
export const healingJobs: readonly Job[] = [healing(50), healing(5_000)];
