/** Times of NAT traversal, in milliseconds (traversal §2.1). */
export interface TraversalSettings {
  /** For one reflex probe; default 3000. */
  readonly reflexTimeoutMs: number;
  /** For one sweep of classification, which is repeated after twelve times as long; default 5000. */
  readonly classifyDeadlineMs: number;
  /** Between a coordinator's introduction and the punch; default 500. */
  readonly punchFireLeadMs: number;
  /** For an introduction to come, and for a punch to get through; default 5000. */
  readonly punchDeadlineMs: number;
}

export const DEFAULT_TRAVERSAL_SETTINGS: TraversalSettings = {
  reflexTimeoutMs: 3_000,
  classifyDeadlineMs: 5_000,
  punchFireLeadMs: 500,
  punchDeadlineMs: 5_000,
};
