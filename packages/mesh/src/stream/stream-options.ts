import { EVENT_LENGTH_PREFIX, PACKET_OVERHEAD } from "@netmesh/wire";
import { MeshError } from "../errors.ts";

/** How a stream treats losses: repaired by retransmission, or left to the application. */
export type Reliability = "reliable" | "fire-and-forget";

/** Configuration of a stream; the first open of a stream decides (spec/session.md §4.2). */
export interface StreamOptions {
  /** Default `"fire-and-forget"`. */
  readonly reliability?: Reliability;
  /** Bytes that may be on their way, 84 per packet included; 0 for no limit. Default 65 536. */
  readonly windowBytes?: number;
  /** Hands events on in sequence. Default: true for reliable streams; needs a reliable stream. */
  readonly ordered?: boolean;
}

/** Default window of a stream in wire bytes. */
export const DEFAULT_WINDOW_BYTES = 65_536;

/** A smaller window never has room, not even for the end of the stream. */
const MIN_WINDOW_BYTES = PACKET_OVERHEAD + EVENT_LENGTH_PREFIX + 1;
const MAX_WINDOW_BYTES = 0xffff_ffff;

/** {@link StreamOptions} with every default applied. */
export interface ResolvedStreamOptions {
  readonly reliable: boolean;
  readonly windowBytes: number;
  readonly ordered: boolean;
}

/** Checks options and fills in defaults; throws {@link MeshError} `invalid-argument`. */
export function resolveStreamOptions(options: StreamOptions): ResolvedStreamOptions {
  const reliability = options.reliability ?? "fire-and-forget";
  if (reliability !== "reliable" && reliability !== "fire-and-forget") {
    throw new MeshError("invalid-argument", `unknown reliability ${JSON.stringify(reliability)}`);
  }
  const windowBytes = options.windowBytes ?? DEFAULT_WINDOW_BYTES;
  if (!Number.isInteger(windowBytes) || windowBytes < 0 || windowBytes > MAX_WINDOW_BYTES) {
    throw new MeshError(
      "invalid-argument",
      "windowBytes must be an integer from 0 to 2^32 - 1",
      MAX_WINDOW_BYTES,
    );
  }
  if (windowBytes !== 0 && windowBytes < MIN_WINDOW_BYTES) {
    throw new MeshError(
      "invalid-argument",
      `windowBytes must be 0 or at least ${MIN_WINDOW_BYTES}`,
      MIN_WINDOW_BYTES,
    );
  }
  const reliable = reliability === "reliable";
  const ordered = options.ordered ?? reliable;
  if (ordered && !reliable) {
    throw new MeshError("invalid-argument", "an ordered stream has to be reliable");
  }
  return { reliable, windowBytes, ordered };
}
