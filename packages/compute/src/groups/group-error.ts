import { DaemonError, type DaemonErrorDetails, type GroupErrorCode, messageOf } from "../errors.ts";

/** A failure of a group; its code is a {@link GroupErrorCode}. What a member's runtime refuses keeps its own error. */
export class GroupError extends DaemonError {
  override readonly name: string = "GroupError";
  declare readonly code: GroupErrorCode;

  constructor(code: GroupErrorCode, message: string, details: DaemonErrorDetails = {}) {
    super(code, message, details);
  }
}

/** Codes that say more to the caller of a group than that a member failed. */
const OWN_CODES: ReadonlySet<string> = new Set([
  "not-ready",
  "shutting-down",
  "factory-not-found",
  "invalid-argument",
  "cancelled",
  "no-healthy-member",
  "placement-failed",
  "registry-failed",
  "invalid-config",
]);

/** What a group throws when a member could not be made, asked or restored. */
export function memberFailure(error: unknown): DaemonError {
  if (error instanceof DaemonError && OWN_CODES.has(error.code)) return error;
  return new GroupError("registry-failed", `a member failed: ${messageOf(error)}`, { cause: error });
}

/** The error of a configuration that no group can have. */
export function invalidConfig(text: string): GroupError {
  return new GroupError("invalid-config", text);
}
