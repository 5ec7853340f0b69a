import { type Awaitable, type Daemon, isStateful } from "./daemon.ts";
import { CoreDaemonError, DaemonError, messageOf } from "./errors.ts";
import type { DaemonTime } from "./time.ts";

/** For whom a daemon is made. */
export interface DaemonContext {
  /** The kind asked for. */
  readonly kind: string;
  /** Origin hash that the daemon will have. */
  readonly originHash: bigint;
}

/** Makes one daemon per call; may return a promise. */
export type DaemonFactory = (context: DaemonContext) => Awaitable<Daemon>;

const METHODS = [
  "snapshot",
  "restore",
  "snapshotDelta",
  "applyDelta",
  "health",
  "saturation",
  "onControl",
  "interrupt",
  "dispose",
] as const;

/** Limits on making a daemon. */
export interface ConstructionLimits {
  /** How long it may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Gives up when aborted. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Calls a factory once. Fails with `process-failed` when it throws, `callback-timeout` when it takes too long, `cancelled` when aborted,
 * and `invalid-daemon` when it gives no daemon, or one with only one of `snapshot` and `restore`. A daemon that comes too late, or is
 * refused, is disposed of.
 */
export async function constructDaemon(
  factory: DaemonFactory,
  context: DaemonContext,
  limits: ConstructionLimits,
  time: DaemonTime,
): Promise<Daemon> {
  const daemon = await awaitFactory(factory, context, limits, time);
  const fault = daemonFault(daemon);
  if (fault === undefined) return daemon;
  await discardDaemon(daemon);
  throw new DaemonError("invalid-daemon", `factory for ${context.kind}: ${fault}`, context);
}

function awaitFactory(
  factory: DaemonFactory,
  context: DaemonContext,
  limits: ConstructionLimits,
  time: DaemonTime,
): Promise<Daemon> {
  const { timeoutMs, signal } = limits;
  return new Promise<Daemon>((resolve, reject) => {
    let isOver = false;
    const end = (): void => {
      isOver = true;
      time.cancel(timer);
      signal?.removeEventListener("abort", abort);
    };
    const give = (error: DaemonError): void => {
      end();
      reject(error);
    };
    const abort = (): void => give(cancelled(context, signal));
    const timer = time.after(timeoutMs, () => {
      give(
        new DaemonError(
          "callback-timeout",
          `factory for ${context.kind} took more than ${timeoutMs} ms`,
          context,
        ),
      );
    });
    signal?.addEventListener("abort", abort);
    callFactory(factory, context).then(
      (daemon) => {
        if (isOver) {
          void discardDaemon(daemon);
          return;
        }
        end();
        resolve(daemon);
      },
      (error: unknown) => {
        const details = { ...context, cause: error };
        give(
          new CoreDaemonError("process-failed", `factory for ${context.kind}: ${messageOf(error)}`, details),
        );
      },
    );
  });
}

async function callFactory(factory: DaemonFactory, context: DaemonContext): Promise<Daemon> {
  return await factory(context);
}

/** What is wrong with what a factory gave. */
function daemonFault(daemon: unknown): string | undefined {
  if (typeof daemon !== "object" || daemon === null) return "gave no object";
  const candidate = daemon as Daemon;
  if (typeof candidate.name !== "string") return "the daemon has no name";
  if (typeof candidate.process !== "function") return "the daemon has no process";
  for (const method of METHODS) {
    const type = typeof candidate[method];
    if (type !== "function" && type !== "undefined") return `${method} of the daemon is no function`;
  }
  const has = isStateful(candidate) || (candidate.snapshot === undefined && candidate.restore === undefined);
  return has ? undefined : "the daemon has only one of snapshot and restore";
}

/** Disposes of a daemon that will not be used; what it throws then concerns nobody. */
export async function discardDaemon(daemon: unknown): Promise<void> {
  try {
    await (daemon as Partial<Daemon> | null | undefined)?.dispose?.();
  } catch {
    // Whoever asked for it has been told that it failed.
  }
}

/** The error of a call that its caller gave up. */
export function cancelled(context: Partial<DaemonContext>, signal: AbortSignal | undefined): DaemonError {
  return new DaemonError("cancelled", "the call was cancelled", { ...context, cause: signal?.reason });
}
