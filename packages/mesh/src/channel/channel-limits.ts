import { MAX_CLOCK_SKEW } from "@netmesh/crypto";
import { MeshError } from "../errors.ts";

/** Limits and pauses of channels, on the publisher's and the subscriber's side. Times in milliseconds. */
export interface ChannelLimits {
  /** Channels that one peer may subscribe to here; default 1024. */
  readonly maxChannelsPerPeer: number;
  /** Subscriptions of all peers together; default 262 144. */
  readonly maxSubscribers: number;
  /** How long a request for membership is repeated and waited for; default 5000. */
  readonly ackTimeoutMs: number;
  /** Pause after which an accepted subscription is asked for again, in case the publisher has lost it; default 60 000. */
  readonly renewMs: number;
  /** Longest pause between two tries to get a lost subscription back; the first is 1000. Default 60 000. */
  readonly maxRetryMs: number;
  /** Pause between two looks at the tokens of all subscribers; 0 for none, so that only publishing looks. Default 30 000. */
  readonly tokenSweepMs: number;
  /** Seconds that a token's times and this node's clock may be apart, at most 300; default 60. */
  readonly tokenSkewSeconds: number;
  /** Refused requests of one peer within `authFailureWindowMs` after which it is throttled; default 16. */
  readonly maxAuthFailures: number;
  /** Default 60 000. */
  readonly authFailureWindowMs: number;
  /** How long a throttled peer is; default 30 000. */
  readonly authThrottleMs: number;
}

const DEFAULTS: ChannelLimits = {
  maxChannelsPerPeer: 1_024,
  maxSubscribers: 262_144,
  ackTimeoutMs: 5_000,
  renewMs: 60_000,
  maxRetryMs: 60_000,
  tokenSweepMs: 30_000,
  tokenSkewSeconds: 60,
  maxAuthFailures: 16,
  authFailureWindowMs: 60_000,
  authThrottleMs: 30_000,
};

/** Least values; the others may be 0. */
const LEAST: Partial<Record<keyof ChannelLimits, number>> = {
  maxChannelsPerPeer: 1,
  maxSubscribers: 1,
  ackTimeoutMs: 1,
  renewMs: 1_000,
  maxRetryMs: 1_000,
  maxAuthFailures: 1,
};

/** Fills in defaults; throws {@link MeshError} `config`. */
export function resolveChannelLimits(limits: Partial<ChannelLimits> = {}): ChannelLimits {
  const resolved = { ...DEFAULTS };
  for (const name of Object.keys(DEFAULTS) as (keyof ChannelLimits)[]) {
    const value = limits[name] ?? DEFAULTS[name];
    const least = LEAST[name] ?? 0;
    const most = name === "tokenSkewSeconds" ? Number(MAX_CLOCK_SKEW) : 2 ** 31 - 1;
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new MeshError("config", `channels.${name} must be an integer from ${least} to ${most}`, most);
    }
    resolved[name] = value;
  }
  return resolved;
}
