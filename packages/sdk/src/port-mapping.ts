import { platformRandom } from "@netmesh/crypto";
import {
  type MappingPhase,
  type MappingProtocol,
  type MappingSink,
  type PortMapperClient,
  type PortMappingCounters,
  PortMappingError,
  PortMappingTask,
  portMappingCounters,
} from "@netmesh/traversal";
import { SystemMapper, type SystemMapperOptions, systemTimers } from "@netmesh/traversal/node";
import type { SocketAddress } from "@netmesh/wire";
import { InvalidArgumentError } from "./errors.ts";

/** Settings of the mapping of this node's port on the router. */
export interface PortMappingOptions extends Omit<SystemMapperOptions, "counters"> {
  /** Pause between renewals in milliseconds, or half of the lease where that is shorter; default 30 min. */
  readonly renewalMs?: number;
  /** What is asked in place of this system's router; the other settings but `renewalMs` then mean nothing. */
  readonly client?: PortMapperClient;
}

/** How the mapping of this node's port stands. */
export interface PortMappingStatus {
  /** `"unmappable"` for a socket that nobody reaches over IPv4, for which no router is asked. */
  readonly phase: MappingPhase | "unmappable";
  /** The router's address and port that lead to this node, `ip:port`; undefined without a mapping. */
  readonly external: string | undefined;
  /** Who made it: `"nat-pmp"` stands for PCP, too. */
  readonly protocol: MappingProtocol | undefined;
  /** Why the last call to the router failed, `unavailable`, `timeout`, `transport` or `refused`; undefined once one succeeds. */
  readonly error: PortMappingError | undefined;
  /** What routers, and those who pose as one, have sent that was refused. */
  readonly counters: Readonly<PortMappingCounters>;
}

/** Keeps a port of the router that leads to a mesh, from the start of the mesh to its end. */
export class MeshPortMapping {
  readonly #counters: PortMappingCounters = portMappingCounters();
  readonly #task: PortMappingTask | undefined;
  readonly #ends = new AbortController();
  #run: Promise<void> | undefined;

  /** Throws `invalid-argument`. `onChanged` is told whenever {@link status} has another phase. */
  constructor(
    options: PortMappingOptions,
    bound: SocketAddress,
    sink: MappingSink,
    onChanged: (status: PortMappingStatus) => void,
  ) {
    const { renewalMs, client, ...choices } = options;
    try {
      const asked = client ?? new SystemMapper({ ...choices, counters: this.#counters });
      const task = new PortMappingTask({
        client: asked,
        sink,
        internalPort: bound.port,
        timers: systemTimers,
        random: platformRandom,
        onPhase: () => onChanged(this.status),
        ...(renewalMs === undefined ? {} : { renewalMs }),
      });
      // Mappings are of IPv4 only, which a socket of one IPv6 address does not take (traversal §18).
      this.#task = bound.family === 4 || bound.host === "::" ? task : undefined;
    } catch (error) {
      if (!(error instanceof PortMappingError)) throw error;
      const message = `invalid port mapping: ${error.detail}`;
      throw new InvalidArgumentError("invalid-argument", message, { cause: error });
    }
  }

  get status(): PortMappingStatus {
    const mapping = this.#task?.mapping;
    return {
      phase: this.#task?.phase ?? "unmappable",
      external: mapping?.external.key,
      protocol: mapping?.protocol,
      error: this.#task?.lastError,
      counters: { ...this.#counters },
    };
  }

  /** Begins to ask the router; nothing waits for it. */
  start(): void {
    this.#run = this.#task?.run(this.#ends.signal);
  }

  /** Asks the router now: the network has changed. */
  recheck(): void {
    this.#task?.recheck();
  }

  /** Takes the mapping back, for which the router has three seconds. */
  async close(): Promise<void> {
    this.#ends.abort();
    await this.#run;
  }
}
