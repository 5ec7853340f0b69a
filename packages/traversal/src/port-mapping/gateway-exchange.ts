import { type Timers, withDeadline } from "../timers.ts";
import type { PortMappingCounters } from "./counters.ts";
import type { GatewayChannel, GatewayChannels } from "./gateway-channel.ts";
import { GATEWAY_PORT } from "./nat-pmp.ts";
import { PortMappingError, timedOut } from "./port-mapping-error.ts";

/** Deadline of a call, in milliseconds (traversal §2.3). */
export const GATEWAY_DEADLINE_MS = 1_000;

/** When a request is sent within the deadline (traversal §13.3). */
export const GATEWAY_SENDS_MS: readonly number[] = [0, 250, 750];

/** With whom and how an exchange happens. */
export interface GatewayLink {
  /** IPv4 address of the gateway. */
  readonly gateway: string;
  readonly channels: GatewayChannels;
  readonly timers: Timers;
  readonly counters: PortMappingCounters;
}

/** A datagram to send, this long after the start. */
export interface ScheduledRequest {
  readonly atMs: number;
  readonly bytes: Uint8Array;
}

/** One question to the gateway. */
export interface GatewayQuestion<T> {
  /** What to send; our own address is known by then. */
  requests(localHost: string): readonly ScheduledRequest[];
  /**
   * Looks at a datagram of the gateway: a value ends the exchange, undefined goes on, a throw ends it with that error.
   * `send` sends something more.
   */
  answer(bytes: Uint8Array, send: (bytes: Uint8Array) => void): T | undefined;
  /** What to send when the exchange ends without an answer, to take back what the requests may have done. */
  undo?(localHost: string): Uint8Array;
}

/**
 * Asks the gateway and waits for the answer; datagrams of others are counted and change nothing.
 * @throws {PortMappingError} `timeout`, `transport`, or what `answer` throws; the signal's reason when that ends.
 */
export function askGateway<T>(
  link: GatewayLink,
  question: GatewayQuestion<T>,
  signal: AbortSignal | undefined,
  deadlineMs: number = GATEWAY_DEADLINE_MS,
): Promise<T> {
  const { gateway, channels, timers, counters } = link;
  const late = (): PortMappingError => {
    counters.timeouts += 1;
    return timedOut();
  };
  return withDeadline(timers, deadlineMs, late, signal, async (ended) => {
    let channel: GatewayChannel | undefined;
    const handles: unknown[] = [];
    let settled = false;
    let close: () => void = () => {};
    try {
      return await new Promise<T>((resolve, reject) => {
        const send = (bytes: Uint8Array): void => channel?.send(bytes);
        close = () => {
          if (!settled && channel !== undefined && question.undo !== undefined) {
            channel.send(question.undo(channel.localHost));
          }
        };
        ended.addEventListener("abort", () => reject(ended.reason), { once: true });
        const listener = {
          received(bytes: Uint8Array, host: string, port: number): void {
            if (host !== gateway || port !== GATEWAY_PORT) {
              counters.foreignAnswers += 1;
              return;
            }
            try {
              const value = question.answer(bytes, send);
              if (value === undefined) return;
              settled = true;
              resolve(value);
            } catch (error) {
              settled = true;
              reject(error);
            }
          },
          failed(error: Error): void {
            settled = true;
            reject(new PortMappingError("transport", error.message, { cause: error }));
          },
        };
        channels.open(gateway, listener).then((opened) => {
          if (ended.aborted || settled) return opened.close();
          channel = opened;
          for (const { atMs, bytes } of question.requests(opened.localHost)) {
            if (atMs === 0) opened.send(bytes);
            else {
              const again = (): void => {
                counters.retransmissions += 1;
                opened.send(bytes);
              };
              handles.push(timers.after(atMs, again));
            }
          }
        }, reject);
      });
    } finally {
      close();
      for (const handle of handles) timers.cancel(handle);
      channel?.close();
    }
  });
}
