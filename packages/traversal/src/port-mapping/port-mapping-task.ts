import { type RandomSource, randomBelow } from "../random-source.ts";
import { type Timers, withDeadline } from "../timers.ts";
import type { MappingSink } from "./mapping-sink.ts";
import {
  checkedLifetime,
  type GatewayNotice,
  MAPPING_TTL_MS,
  type PortMapperClient,
  type PortMapping,
} from "./port-mapping.ts";
import { PortMappingError, timedOut, toPortMappingError } from "./port-mapping-error.ts";
import {
  afterFailureMs,
  effectiveRenewalMs,
  NOTICE_SPACING_MS,
  RECREATE_SPREAD_MS,
  RENEWAL_MS,
  RENEWAL_STRIKES,
  REPROBE_MS,
  SECOND_TRY_MS,
} from "./renewal-schedule.ts";

/**
 * Where a task is: idle → probing → installing → installed ⇄ renewing → revoked → waiting → probing …; a failure before
 * the mapping leads to waiting, and the end of the signal to exited.
 */
export type MappingPhase =
  | "idle"
  | "probing"
  | "installing"
  | "installed"
  | "renewing"
  | "revoked"
  | "waiting"
  | "exited";

/** What a {@link PortMappingTask} works with. */
export interface PortMappingTaskOptions {
  readonly client: PortMapperClient;
  readonly sink: MappingSink;
  /** The UDP port that is really bound, 1..65535. */
  readonly internalPort: number;
  readonly timers: Timers;
  readonly random: RandomSource;
  /** Renewal period in milliseconds, 0 is 1 s; half of the lease, if that is shorter. Default 30 min. */
  readonly renewalMs?: number;
  /** Waits before the router is asked again, the last of which repeats; empty to end after a failure. Default 1, 5, 15 min. */
  readonly reprobeMs?: readonly number[];
  /** Told of every phase that begins; must not throw. */
  readonly onPhase?: (phase: MappingPhase) => void;
}

/** A removal that takes longer is left to the expiry of the lease. */
const REMOVE_DEADLINE_MS = 3_000;

/** Longest wait that timers take. */
const MAX_WAIT_MS = 0x7fff_ffff;

/** Gets a mapping, keeps it, and takes it back in the end (traversal §12.4). Its failures only show in its fields. */
export class PortMappingTask {
  readonly #options: PortMappingTaskOptions;
  readonly #renewalMs: number;
  readonly #reprobeMs: readonly number[];
  #phase: MappingPhase = "idle";
  #mapping: PortMapping | undefined;
  #lastError: PortMappingError | undefined;
  /** When a notice wants a renewal, in the time of `timers`. */
  #noticeAtMs = Number.POSITIVE_INFINITY;
  #lastNoticeMs = Number.NEGATIVE_INFINITY;
  /** Ends the present wait early. */
  #wake: (() => void) | undefined;
  #recheck = false;

  /** @throws {PortMappingError} `transport` for a port or period that makes no sense. */
  constructor(options: PortMappingTaskOptions) {
    checkedLifetime(options.internalPort, MAPPING_TTL_MS);
    this.#options = options;
    this.#renewalMs = options.renewalMs ?? RENEWAL_MS;
    this.#reprobeMs = options.reprobeMs ?? REPROBE_MS;
    for (const waitMs of [this.#renewalMs, ...this.#reprobeMs]) {
      if (waitMs >= 0 && waitMs <= MAX_WAIT_MS) continue;
      throw new PortMappingError("transport", `a wait of ${waitMs} ms`);
    }
  }

  /** Where the task is now. */
  get phase(): MappingPhase {
    return this.#phase;
  }

  /** The mapping held now. */
  get mapping(): PortMapping | undefined {
    return this.#mapping;
  }

  /** Why the last call to the router failed; kept until one succeeds. */
  get lastError(): PortMappingError | undefined {
    return this.#lastError;
  }

  /**
   * Runs until `signal` ends, or, with an empty `reprobeMs`, until there is no mapping. Never rejects. Whatever was installed
   * has been removed from the router when it resolves, as far as the router answers.
   */
  async run(signal: AbortSignal): Promise<void> {
    if (this.#phase !== "idle") return;
    let failed = 0;
    while (!signal.aborted) {
      const mapping = await this.#acquire(signal);
      if (mapping !== undefined) {
        failed = 0;
        await this.#hold(mapping, signal);
      }
      const waitMs = this.#reprobeMs[Math.min(failed, this.#reprobeMs.length - 1)];
      if (signal.aborted || waitMs === undefined) break;
      failed += 1;
      this.#enter("waiting");
      const untilMs = this.#options.timers.now() + waitMs;
      while (!this.#recheck && !signal.aborted && this.#options.timers.now() < untilMs) {
        await this.#waitUntil(untilMs, signal);
      }
      this.#recheck = false;
    }
    this.#enter("exited");
  }

  /** Call when the network has changed: asks the router now instead of when it would be time. */
  recheck(): void {
    if (this.#phase === "waiting") this.#recheck = true;
    else this.#noticeAtMs = this.#options.timers.now();
    this.#wake?.();
  }

  #enter(phase: MappingPhase): void {
    if (this.#phase === phase) return;
    this.#phase = phase;
    this.#options.onPhase?.(phase);
  }

  async #acquire(signal: AbortSignal): Promise<PortMapping | undefined> {
    const { client, internalPort } = this.#options;
    try {
      this.#enter("probing");
      await client.probe({ signal });
      if (signal.aborted) return undefined;
      this.#enter("installing");
      const mapping = await client.install(internalPort, MAPPING_TTL_MS, { signal });
      this.#lastError = undefined;
      return mapping;
    } catch (error) {
      this.#lastError = toPortMappingError(error);
      return undefined;
    }
  }

  async #hold(installed: PortMapping, signal: AbortSignal): Promise<void> {
    const { client, sink, timers } = this.#options;
    let mapping = installed;
    let failures = 0;
    let dueMs = timers.now() + this.#periodMs(mapping);
    let leaseEndMs = leaseEnd(timers.now(), mapping);
    this.#mapping = mapping;
    this.#noticeAtMs = Number.POSITIVE_INFINITY;
    sink.applyInstall(mapping);
    const unwatch = client.watch?.((notice) => this.#noticed(notice));
    while (await this.#untilDue(() => Math.min(dueMs, this.#noticeAtMs), signal)) {
      if (timers.now() >= this.#noticeAtMs) this.#lastNoticeMs = timers.now();
      this.#noticeAtMs = Number.POSITIVE_INFINITY;
      this.#enter("renewing");
      const next = await this.#renew(mapping, signal);
      const nowMs = timers.now();
      if (next !== undefined) {
        mapping = next;
        failures = 0;
        dueMs = nowMs + this.#periodMs(mapping);
        leaseEndMs = leaseEnd(nowMs, mapping);
        this.#mapping = mapping;
        sink.applyRenewal(mapping);
      } else {
        failures += 1;
        if (failures >= RENEWAL_STRIKES || nowMs >= leaseEndMs) break;
        dueMs = Math.min(leaseEndMs, nowMs + afterFailureMs(failures, this.#periodMs(mapping)));
      }
    }
    unwatch?.();
    await withDeadline(timers, REMOVE_DEADLINE_MS, timedOut, undefined, () => client.remove(mapping)).catch(
      (error) => {
        this.#lastError = toPortMappingError(error);
      },
    );
    this.#mapping = undefined;
    this.#enter("revoked");
    sink.applyRevoke();
  }

  /** One round: a second try shortly after the first. Undefined when both failed, or the signal ended. */
  async #renew(mapping: PortMapping, signal: AbortSignal): Promise<PortMapping | undefined> {
    const { client, timers } = this.#options;
    for (let attempt = 0; attempt < 2 && !signal.aborted; attempt += 1) {
      try {
        const next = await client.renew(mapping, { signal });
        this.#lastError = undefined;
        return next;
      } catch (error) {
        this.#lastError = toPortMappingError(error);
      }
      if (attempt === 0) await this.#pause(timers.now() + SECOND_TRY_MS, signal);
    }
    return undefined;
  }

  #periodMs(mapping: PortMapping): number {
    return effectiveRenewalMs(this.#renewalMs, mapping.ttlMs);
  }

  #noticed(notice: GatewayNotice): void {
    const nowMs = this.#options.timers.now();
    // All clients of a restarted gateway come back at once otherwise (RFC 6887 §8.5).
    const spreadMs = notice === "restarted" ? randomBelow(this.#options.random, RECREATE_SPREAD_MS) : 0;
    const atMs = Math.max(nowMs + spreadMs, this.#lastNoticeMs + NOTICE_SPACING_MS);
    this.#noticeAtMs = Math.min(this.#noticeAtMs, atMs);
    this.#wake?.();
  }

  /** True when it is time; false when the signal ended. */
  async #untilDue(dueMs: () => number, signal: AbortSignal): Promise<boolean> {
    this.#enter("installed");
    while (!signal.aborted && this.#options.timers.now() < dueMs()) await this.#waitUntil(dueMs(), signal);
    return !signal.aborted;
  }

  async #pause(untilMs: number, signal: AbortSignal): Promise<void> {
    while (!signal.aborted && this.#options.timers.now() < untilMs) await this.#waitUntil(untilMs, signal);
  }

  /** Waits until the moment, the end of the signal, or a wake-up, whichever is first. */
  #waitUntil(atMs: number, signal: AbortSignal): Promise<void> {
    const { timers } = this.#options;
    return new Promise((resolve) => {
      const done = (): void => {
        timers.cancel(handle);
        signal.removeEventListener("abort", done);
        this.#wake = undefined;
        resolve();
      };
      const handle = timers.after(Math.max(0, Math.min(MAX_WAIT_MS, atMs - timers.now())), done);
      signal.addEventListener("abort", done, { once: true });
      this.#wake = done;
    });
  }
}

/** A lease of zero says nothing about its end. */
function leaseEnd(nowMs: number, mapping: PortMapping): number {
  return mapping.ttlMs > 0 ? nowMs + mapping.ttlMs : Number.POSITIVE_INFINITY;
}
