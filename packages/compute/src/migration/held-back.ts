/**
 * A daemon of which the store may have a snapshot, but that lives, or may live, on another node: it is not restored.
 *
 * | Why | Where it lives | What ends it |
 * |---|---|---|
 * | `handed-over` | on `node`, or it will once that is reached | the confirmation of `node` |
 * | `arriving` | on `node` or here, as `node` decides | its decision: then the daemon is made here, or forgotten |
 * | `departed` | on `node`, or nowhere: it left in the messages of Net, and no confirmation came | the application, by `Migrator.reclaim` |
 */
export interface HeldBackDaemon {
  readonly originHash: bigint;
  /** The other node. */
  readonly node: bigint;
  readonly why: "handed-over" | "arriving" | "departed";
}
