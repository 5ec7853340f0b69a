import { CryptoError, TokenError as CryptoTokenError } from "@netmesh/crypto";
import { MeshError } from "@netmesh/mesh";
import { TransportError as UdpError } from "@netmesh/transport-udp";
import { TraversalError as LogicError } from "@netmesh/traversal";
import { WireError } from "@netmesh/wire";
import type { PublishReport } from "./channels.ts";

/** Base of every error that the SDK throws. `code` is stable API, the text is not. */
export class NetError extends Error {
  override readonly name: string = "NetError";
  /** Stable machine-readable reason. */
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** A caller's mistake: `invalid-argument`, `invalid-length`, `invalid-address`, `invalid-channel-name`, `config`. */
export class InvalidArgumentError extends NetError {
  override readonly name: string = "InvalidArgumentError";
}

/** The mesh was shut down: `shutdown`. */
export class ShutdownError extends NetError {
  override readonly name: string = "ShutdownError";

  constructor(options?: ErrorOptions) {
    super("shutdown", "the mesh was shut down", options);
  }
}

/**
 * Reaching a peer failed: `handshake-timeout`, `handshake-failed`, `handshake-in-flight`, `insecure-peer` (it offers no
 * forward-secret session), `address-in-use`, `address-not-available`, `socket`, `unknown-peer`, `unknown-host`,
 * `no-route`, `too-many-peers`.
 */
export class TransportError extends NetError {
  override readonly name: string = "TransportError";
}

/**
 * A stream cannot go on: `backpressure`, `not-connected`, `message-too-large`, `too-many-streams`, `repair-timeout` (the
 * peer acknowledges nothing any more), `peer-lost` (nothing is heard of it), `stream-reset` (the peer gave up),
 * `stream-gap` (the peer does not resend), `session-replaced`, `counter-exhausted` (the session's key has sealed all it
 * may), `write-after-end`.
 */
export class StreamError extends NetError {
  override readonly name: string = "StreamError";
  /** The limit in bytes, with `message-too-large`. */
  readonly limit: number | undefined;
  /** How many events were taken before, with `backpressure`. */
  readonly accepted: number;

  constructor(
    code: string,
    message: string,
    details: { limit?: number | undefined; accepted?: number } = {},
    options?: ErrorOptions,
  ) {
    super(code, message, options);
    this.limit = details.limit;
    this.accepted = details.accepted ?? 0;
  }
}

/**
 * A channel cannot be used: `unknown-channel`, `rate-limited`, `too-many-channels`, `rejected` (refused without a reason),
 * `ack-timeout` (the publisher does not answer), `publish-denied`, `publish-failed` (with `report`), and, as {@link ChannelAuthError},
 * `unauthorized`. In a report of a publication it has the code of what went wrong with one subscriber.
 */
export class ChannelError extends NetError {
  override readonly name: string = "ChannelError";
  /** What became of the publication, with `publish-failed`. */
  readonly report: PublishReport | undefined;

  constructor(code: string, message: string, report?: PublishReport, options?: ErrorOptions) {
    super(code, message, options);
    this.report = report;
  }
}

/** The publisher does not let this node subscribe: `unauthorized`. */
export class ChannelAuthError extends ChannelError {
  override readonly name: string = "ChannelAuthError";
}

/** A token cannot be issued, passed on or read: the codes of `TokenErrorCode`. */
export class TokenError extends NetError {
  override readonly name: string = "TokenError";
}

/** A subprotocol cannot be handled here: `subprotocol-in-use`. */
export class SubprotocolError extends NetError {
  override readonly name: string = "SubprotocolError";
}

/**
 * The way past a NAT was not found: `reflex-timeout`, `peer-not-reachable`, `transport`, `unsupported` (traversal is switched off).
 * It says nothing about whether relays reach the peer.
 */
export class TraversalError extends NetError {
  override readonly name: string = "TraversalError";
}

const STREAM_CODES: ReadonlySet<string> = new Set([
  "backpressure",
  "not-connected",
  "message-too-large",
  "too-many-streams",
  "repair-timeout",
  "peer-lost",
  "stream-reset",
  "stream-gap",
  "session-replaced",
  "counter-exhausted",
]);

const CHANNEL_CODES: ReadonlySet<string> = new Set([
  "unknown-channel",
  "rate-limited",
  "too-many-channels",
  "rejected",
  "ack-timeout",
  "publish-denied",
]);

const ARGUMENT_CODES: ReadonlySet<string> = new Set([
  "invalid-argument",
  "invalid-address",
  "invalid-length",
  "invalid-key",
  "invalid-channel-name",
  "config",
  "unknown-provider",
]);

/** The SDK's error for what a layer below has thrown; everything else comes back as it is. */
export function toNetError(error: unknown): unknown {
  if (error instanceof NetError) return error;
  if (error instanceof LogicError) return new TraversalError(error.code, error.message, { cause: error });
  if (!isLayerError(error)) return error;
  const { code, message } = error;
  const options = { cause: error };
  if (code === "shutdown" || code === "closed") return new ShutdownError(options);
  if (ARGUMENT_CODES.has(code)) return new InvalidArgumentError(code, message, options);
  if (STREAM_CODES.has(code)) {
    return new StreamError(code, message, { limit: (error as MeshError).limit }, options);
  }
  if (error instanceof CryptoTokenError) return new TokenError(code, message, options);
  if (code === "unauthorized") return new ChannelAuthError(code, message, undefined, options);
  if (CHANNEL_CODES.has(code)) return new ChannelError(code, message, undefined, options);
  if (code === "subprotocol-in-use") return new SubprotocolError(code, message, options);
  return new TransportError(code, message, options);
}

function isLayerError(error: unknown): error is Error & { readonly code: string } {
  return (
    error instanceof MeshError ||
    error instanceof WireError ||
    error instanceof CryptoError ||
    error instanceof UdpError
  );
}
