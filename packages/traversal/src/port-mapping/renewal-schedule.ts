/** Renewal period unless told otherwise (traversal §2.1). */
export const RENEWAL_MS = 1_800_000;

/** Failed rounds in a row before a mapping is given up (traversal §2.3). */
export const RENEWAL_STRIKES = 3;

/** Between the two tries of a round. */
export const SECOND_TRY_MS = 200;

/** After a failed round, by how many failed in a row; never longer than the period (traversal appendix B, P8). */
const AFTER_FAILURE_MS = [5_000, 15_000, 60_000] as const;

/** Before looking for a router again; the last repeats (traversal appendix B, P9). */
export const REPROBE_MS: readonly number[] = [60_000, 300_000, 900_000];

/** Longest wait of a gateway's clients before they re-create their mappings (RFC 6887 §8.5). */
export const RECREATE_SPREAD_MS = 5_000;

/** Renewals that notices ask for are at least this far apart: a notice can be forged. */
export const NOTICE_SPACING_MS = 5_000;

/** The period of renewals: the configured one, 1 s for zero, but no more than half of the lease (traversal §12.4). */
export function effectiveRenewalMs(renewalMs: number, ttlMs: number): number {
  const configured = renewalMs === 0 ? 1_000 : renewalMs;
  const half = ttlMs / 2;
  return half > 0 && half < configured ? half : configured;
}

/** How long to wait after `failures` failed rounds in a row. */
export function afterFailureMs(failures: number, periodMs: number): number {
  const index = Math.min(failures, AFTER_FAILURE_MS.length) - 1;
  return Math.min(periodMs, AFTER_FAILURE_MS[index] ?? 0);
}
