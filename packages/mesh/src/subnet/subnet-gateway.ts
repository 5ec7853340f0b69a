import { channelHash, channelWireHash } from "@netmesh/wire";
import { requireSubnetId, type SubnetId } from "./subnet-id.ts";
import { type ChannelVisibility, isVisible } from "./visibility.ts";

/** What a {@link SubnetGateway} says of a packet: to be passed on, or why not. */
export type GatewayVerdict = "forward" | "ttl-expired" | "subnet-local" | "not-ancestor" | "not-exported";

interface GatewayChannel {
  readonly name: string;
  readonly visibility: ChannelVisibility;
  readonly exports: ReadonlySet<SubnetId>;
}

/**
 * Decides which packets of channels leave a subnet, by the channel hash of their headers (spec/mesh.md §13). A library: the
 * engine, whose publishers choose their recipients, asks no gateway.
 */
export class SubnetGateway {
  /** How often each verdict was given. */
  readonly verdicts: Record<GatewayVerdict, number> = {
    forward: 0,
    "ttl-expired": 0,
    "subnet-local": 0,
    "not-ancestor": 0,
    "not-exported": 0,
  };
  /** By the 16 bits of the header; undefined where two channels share them. */
  readonly #channels = new Map<number, GatewayChannel | undefined>();

  /**
   * Adds a channel, or replaces it; `exports` names the subnets that an exported one goes to, each exactly. Throws
   * `invalid-argument`, `invalid-channel-name`.
   */
  register(name: string, visibility: ChannelVisibility, exports: readonly SubnetId[] = []): void {
    for (const id of exports) requireSubnetId(id);
    const hash = channelWireHash(channelHash(name));
    const isShared = this.#channels.has(hash) && this.#channels.get(hash)?.name !== name;
    this.#channels.set(hash, isShared ? undefined : { name, visibility, exports: new Set(exports) });
  }

  /**
   * Whether a packet may cross, with these fields in its header. A channel that is not known, or shares its 16 bits with
   * another one, counts as subnet-local.
   */
  shouldForward(
    source: SubnetId,
    destination: SubnetId,
    wireHash: number,
    hopTtl: number,
    hopCount: number,
  ): GatewayVerdict {
    const verdict =
      hopTtl === 0 || hopCount >= hopTtl ? "ttl-expired" : this.#judge(source, destination, wireHash);
    this.verdicts[verdict]++;
    return verdict;
  }

  #judge(source: SubnetId, destination: SubnetId, wireHash: number): GatewayVerdict {
    const channel = this.#channels.get(wireHash);
    const visibility = channel?.visibility ?? "subnet-local";
    if (visibility === "exported") {
      return channel?.exports.has(destination) === true ? "forward" : "not-exported";
    }
    if (isVisible(visibility, source, destination)) return "forward";
    return visibility === "subnet-local" ? "subnet-local" : "not-ancestor";
  }
}
