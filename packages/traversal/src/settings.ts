/** Settings of NAT traversal; times in milliseconds (traversal §2.1). */
export interface TraversalSettings {
  /** For one reflex probe; default 3000. */
  readonly reflexTimeoutMs: number;
  /** For one sweep of classification, which is repeated after twelve times as long; default 5000. */
  readonly classifyDeadlineMs: number;
  /** Between a coordinator's introduction and the punch; default 500. */
  readonly punchFireLeadMs: number;
  /** For an introduction to come, and for a punch to get through; default 5000. */
  readonly punchDeadlineMs: number;
  /**
   * Whether netmesh peers that a direct path is looked for to are told the addresses of this host, in sealed messages, and theirs are
   * tried; default true.
   */
  readonly sharesLocalAddresses: boolean;
}

/** What holds unless told otherwise. */
export const DEFAULT_TRAVERSAL_SETTINGS: TraversalSettings = {
  reflexTimeoutMs: 3_000,
  classifyDeadlineMs: 5_000,
  punchFireLeadMs: 500,
  punchDeadlineMs: 5_000,
  sharesLocalAddresses: true,
};
