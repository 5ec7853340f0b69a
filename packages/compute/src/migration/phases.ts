import { MigrationError } from "./failure-reason.ts";

/** The phases of a migration in their order (spec compute.md §13). */
export const MIGRATION_PHASES = ["snapshot", "transfer", "restore", "replay", "cutover", "complete"] as const;

/**
 * Where a migration is: the snapshot is taken, travels, is restored; what happened since is replayed; the source hands over; the
 * target is being told to go on.
 */
export type MigrationPhase = (typeof MIGRATION_PHASES)[number];

/** Whether `phase` comes after `other`. */
export function isAfter(phase: MigrationPhase, other: MigrationPhase): boolean {
  return MIGRATION_PHASES.indexOf(phase) > MIGRATION_PHASES.indexOf(other);
}

/** The error of a step that belongs to `expected` and came in `got`. */
export function wrongPhase(
  originHash: bigint,
  expected: MigrationPhase,
  got: MigrationPhase,
): MigrationError {
  return new MigrationError("wrong-phase", `wrong phase: expected ${expected}, got ${got}`, { originHash });
}
