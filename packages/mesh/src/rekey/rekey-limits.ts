import { MeshError } from "../errors.ts";

/** When the keys of a session are renewed: as soon as one of the limits is reached in one direction. */
export interface RekeyLimits {
  /** Packets sealed, or opened, with one key; 1 to 2^30, default 2^20. */
  readonly packets: number;
  /** Bytes of packets sealed, or opened, with one key; default 2^30. */
  readonly bytes: number;
  /** Age of the keys in milliseconds, at least 1000; default 600 000, `Infinity` for no limit. */
  readonly intervalMs: number;
}

/** Far enough below the 2^31 packets after which a key is not used any more. */
const MOST_PACKETS = 2 ** 30;
const SHORTEST_INTERVAL_MS = 1_000;

/** Fills in defaults; throws {@link MeshError} `config`. */
export function resolveRekeyLimits(limits: Partial<RekeyLimits> = {}): RekeyLimits {
  const { packets = 2 ** 20, bytes = 2 ** 30, intervalMs = 600_000 } = limits;
  if (!(Number.isInteger(packets) && packets >= 1 && packets <= MOST_PACKETS)) {
    throw new MeshError("config", "rekey.packets must be an integer from 1 to 2^30", MOST_PACKETS);
  }
  if (!(Number.isSafeInteger(bytes) && bytes >= 1)) {
    throw new MeshError("config", "rekey.bytes must be a positive integer", Number.MAX_SAFE_INTEGER);
  }
  if (!(intervalMs >= SHORTEST_INTERVAL_MS)) {
    throw new MeshError("config", "rekey.intervalMs must be at least 1000", SHORTEST_INTERVAL_MS);
  }
  return { packets, bytes, intervalMs };
}
