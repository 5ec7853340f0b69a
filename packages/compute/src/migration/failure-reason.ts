import { readU16, writeU16 } from "@netmesh/wire";
import { DaemonError, type DaemonErrorCode, type DaemonErrorDetails, hexId, messageOf } from "../errors.ts";

/** Why a migration failed, as peers tell each other (§22). Only `not-ready` is worth another try. */
export type FailureReason =
  | { readonly kind: "not-ready" }
  | { readonly kind: "factory-not-found" }
  | { readonly kind: "compute-not-supported" }
  | { readonly kind: "state-failed"; readonly detail: string }
  | { readonly kind: "already-migrating" }
  | { readonly kind: "identity-transport-failed"; readonly detail: string }
  | { readonly kind: "not-ready-timeout"; readonly attempts: number };

/** Kinds at the place of their code on the wire. */
const KINDS = [
  "not-ready",
  "factory-not-found",
  "compute-not-supported",
  "state-failed",
  "already-migrating",
  "identity-transport-failed",
  "not-ready-timeout",
] as const;

const CODE_SIZE = 2;
const LENGTH_SIZE = 2;
/** Bytes of the longest text. */
const MAX_DETAIL_SIZE = 0xffff;
/** Characters kept of a text made here; each takes at most three bytes. */
const MAX_DETAIL_LENGTH = 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** A failure with a text, which is cut to 1024 characters. */
export function stateFailed(detail: string): FailureReason {
  return { kind: "state-failed", detail: detail.slice(0, MAX_DETAIL_LENGTH) };
}

/** The key of a daemon could not be sealed or opened; the text is cut to 1024 characters. */
export function identityTransportFailed(detail: string): FailureReason {
  return { kind: "identity-transport-failed", detail: detail.slice(0, MAX_DETAIL_LENGTH) };
}

/** Bytes of a reason. Throws `invalid-argument` for more than 65 535 bytes of text or attempts that are no byte. */
export function encodeFailureReason(reason: FailureReason): Uint8Array {
  const code = KINDS.indexOf(reason.kind);
  if (reason.kind === "not-ready-timeout") {
    const { attempts } = reason;
    if (!Number.isInteger(attempts) || attempts < 0 || attempts > 0xff) {
      throw new DaemonError("invalid-argument", `attempts must be 0..255, got ${attempts}`);
    }
    return Uint8Array.of(code, 0, attempts);
  }
  if (!("detail" in reason)) return Uint8Array.of(code, 0);
  const text = encoder.encode(reason.detail);
  if (text.length > MAX_DETAIL_SIZE) {
    throw new DaemonError(
      "invalid-argument",
      `a text of ${text.length} bytes; it may have ${MAX_DETAIL_SIZE}`,
    );
  }
  const bytes = new Uint8Array(CODE_SIZE + LENGTH_SIZE + text.length);
  writeU16(bytes, 0, code);
  writeU16(bytes, CODE_SIZE, text.length);
  bytes.set(text, CODE_SIZE + LENGTH_SIZE);
  return bytes;
}

/** The reason at the beginning of `bytes`; undefined when it is truncated, of an unknown code, or its text not UTF-8. */
export function decodeFailureReason(bytes: Uint8Array): FailureReason | undefined {
  if (bytes.length < CODE_SIZE) return undefined;
  const kind = KINDS[readU16(bytes, 0)];
  if (kind === undefined) return undefined;
  if (kind === "not-ready-timeout") {
    const attempts = bytes[CODE_SIZE];
    return attempts === undefined ? undefined : { kind, attempts };
  }
  if (kind !== "state-failed" && kind !== "identity-transport-failed") return { kind };
  const start = CODE_SIZE + LENGTH_SIZE;
  if (bytes.length < start) return undefined;
  const end = start + readU16(bytes, CODE_SIZE);
  if (end > bytes.length) return undefined;
  try {
    return { kind, detail: decoder.decode(bytes.subarray(start, end)) };
  } catch {
    return undefined;
  }
}

/** What a reason says to people. */
export function describeFailure(reason: FailureReason): string {
  if ("detail" in reason) return `${reason.kind}: ${reason.detail}`;
  if (reason.kind === "not-ready-timeout") return `${reason.kind} after ${reason.attempts} attempts`;
  return reason.kind;
}

/** The reason that tells a peer about an error here. */
export function failureOf(error: unknown): FailureReason {
  if (!(error instanceof DaemonError)) return stateFailed(messageOf(error));
  switch (error.code) {
    case "not-ready":
    case "factory-not-found":
    case "compute-not-supported":
    case "already-migrating":
      return { kind: error.code };
    case "identity-transport-failed":
      return identityTransportFailed(error.message);
    default:
      return stateFailed(error.message);
  }
}

/** What a failed migration is about, as far as it applies. */
export interface MigrationErrorDetails extends DaemonErrorDetails {
  /** What a peer said, when it was a peer or the retries that ended it. */
  readonly failure?: FailureReason;
  /** Bytes concerned, for `snapshot-too-large` and `buffer-full`. */
  readonly size?: number;
}

/** A migration that failed, or was refused: `code` is the kind of the reason, or local. */
export class MigrationError extends DaemonError {
  override readonly name: string = "MigrationError";
  /** What a peer said, when it was a peer or the retries that ended it. */
  readonly failure: FailureReason | undefined;
  /** Bytes concerned, for `snapshot-too-large` and `buffer-full`. */
  readonly size: number | undefined;

  constructor(code: DaemonErrorCode, message: string, details: MigrationErrorDetails = {}) {
    super(code, `migration failed: ${message}`, details);
    this.failure = details.failure;
    this.size = details.size;
  }
}

/** The error as one of a migration: itself, or `state-failed` with it as the cause. */
export function asMigrationError(originHash: bigint, error: unknown): MigrationError {
  if (error instanceof MigrationError) return error;
  return new MigrationError("state-failed", messageOf(error), { originHash, cause: error });
}

/** The error of a migration that a peer, or the retries, ended. */
export function migrationFailed(originHash: bigint, failure: FailureReason, node?: bigint): MigrationError {
  const text = `${hexId(originHash)}: ${describeFailure(failure)}`;
  return new MigrationError(failure.kind, text, {
    originHash,
    failure,
    ...(node === undefined ? {} : { node }),
  });
}
