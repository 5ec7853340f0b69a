import type { DirectConnector, DirectTarget } from "./direct-connector.ts";
import type { Timers } from "./timers.ts";
import type { TraversalHost } from "./traversal-host.ts";

/** Pauses before the attempts to find a relayed session a direct path, in milliseconds; the last one is repeated. */
const PAUSES_MS = [1_000, 5_000, 30_000, 120_000, 300_000] as const;
/** Attempts at once; others wait a second. */
const MAX_RUNNING = 16;
const WAIT_MS = 1_000;

interface Upgrade {
  readonly target: DirectTarget;
  coordinators: readonly bigint[];
  tries: number;
  handle: unknown;
}

/** Looks for direct paths for relayed sessions, in the background and ever less often. */
export class PathUpgrader {
  readonly #host: TraversalHost;
  readonly #timers: Timers;
  readonly #connector: DirectConnector;
  /** By peer: no more than there are peers, as those that are gone leave at their next turn. */
  readonly #upgrades = new Map<bigint, Upgrade>();
  #running = 0;

  constructor(host: TraversalHost, timers: Timers, connector: DirectConnector) {
    this.#host = host;
    this.#timers = timers;
    this.#connector = connector;
  }

  /** Looks for a direct path to that peer from now on. */
  add(target: DirectTarget, coordinators: readonly bigint[] = []): void {
    const known = this.#upgrades.get(target.nodeId);
    if (known !== undefined) {
      if (coordinators.length > 0) known.coordinators = coordinators;
      return;
    }
    const upgrade: Upgrade = { target, coordinators, tries: 0, handle: undefined };
    this.#upgrades.set(target.nodeId, upgrade);
    this.#later(upgrade);
  }

  /** Ends everything. */
  close(): void {
    for (const { handle } of this.#upgrades.values()) this.#timers.cancel(handle);
    this.#upgrades.clear();
  }

  #later(upgrade: Upgrade): void {
    const index = Math.min(upgrade.tries++, PAUSES_MS.length - 1);
    upgrade.handle = this.#timers.after(PAUSES_MS[index] as number, () => this.#turn(upgrade));
  }

  #turn(upgrade: Upgrade): void {
    const { nodeId } = upgrade.target;
    const peer = this.#host.peer(nodeId);
    if (peer === undefined) {
      this.#upgrades.delete(nodeId);
      return;
    }
    if (peer.isDirect) {
      // As long as it stays so, a look now and then is enough to see that it does not.
      upgrade.tries = Math.max(upgrade.tries, 2);
      this.#later(upgrade);
      return;
    }
    if (this.#running >= MAX_RUNNING) {
      upgrade.handle = this.#timers.after(WAIT_MS, () => this.#turn(upgrade));
      return;
    }
    this.#running++;
    const attempt = this.#connector.connect(upgrade.target, upgrade.coordinators);
    void attempt
      .then(
        ({ path }) => {
          if (path !== "relayed") upgrade.tries = 2;
        },
        () => undefined,
      )
      .then(() => {
        this.#running--;
        if (this.#upgrades.get(nodeId) === upgrade) this.#later(upgrade);
      });
  }
}
