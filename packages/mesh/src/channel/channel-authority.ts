import { equalBytes, RevocationFloors, TokenChain, TokenScope } from "@netmesh/crypto";
import { channelHash, copyBytes, MembershipReason } from "@netmesh/wire";
import { type CapabilityFilter, matchesFilter } from "../capability/capability-filter.ts";
import type { CapabilityIndex } from "../capability/capability-index.ts";
import type { CoreState } from "../core/state.ts";
import { MeshError } from "../errors.ts";
import { OperationBudget } from "../rekey/operation-budget.ts";
import type { Session } from "../session/session.ts";
import type { Subnets } from "../subnet/subnets.ts";
import { isVisible } from "../subnet/visibility.ts";
import type { Authorization } from "./auth-guard.ts";
import type { ChannelConfigs, ResolvedChannelConfig } from "./channel-configs.ts";
import type { TokenWallet } from "./token-wallet.ts";

/** Chains of one peer verified per second, and of all peers; a chain costs up to eight signatures. */
const CHAINS_PER_PEER = 32;
const CHAINS_PER_SECOND = 256;

/**
 * What comes of a request to subscribe: an authorization, a reason to refuse it, or `"later"` when nothing can be said before
 * the peer has proven who it is, or because too much has to be verified at the time.
 */
export type SubscribeDecision = Authorization | Exclude<MembershipReason, 0> | "later";

/** Decides who may subscribe and publish (spec/mesh.md §§12.4, 12.5 and 12.7). */
export class ChannelAuthority {
  readonly configs: ChannelConfigs;
  readonly revocations: RevocationFloors = new RevocationFloors();
  readonly #state: CoreState;
  readonly #subnets: Subnets;
  readonly #index: CapabilityIndex;
  readonly #wallet: TokenWallet;
  readonly #total = new OperationBudget(CHAINS_PER_SECOND);
  readonly #perPeer = new WeakMap<Session, OperationBudget>();
  #revocationRevision = 0;

  constructor(
    state: CoreState,
    configs: ChannelConfigs,
    subnets: Subnets,
    index: CapabilityIndex,
    wallet: TokenWallet,
  ) {
    this.#state = state;
    this.configs = configs;
    this.#subnets = subnets;
    this.#index = index;
    this.#wallet = wallet;
  }

  /** Changes when what was decided before may no longer hold. */
  get revision(): number {
    return this.configs.revision + this.#revocationRevision;
  }

  /** Unix time in seconds. */
  get nowSeconds(): number {
    return Math.max(0, Math.floor(this.#state.config.systemTime.now() / 1_000));
  }

  /** Revokes the tokens of an issuer below a generation; false when they were already. Throws as `RevocationFloors`. */
  revoke(issuer: Uint8Array, generation: number): boolean {
    const hasRisen = this.revocations.raise(issuer, generation);
    if (hasRisen) this.#revocationRevision++;
    return hasRisen;
  }

  /**
   * Whether a peer may subscribe, by what it presents. `known` is what lets it already: the very chain again costs no
   * signatures.
   */
  decide(
    session: Session,
    name: string,
    token: Uint8Array | undefined,
    known: Authorization | undefined,
  ): SubscribeDecision {
    if (this.configs.size === 0) return this.#open(undefined);
    const config = this.configs.find(name);
    if (config === undefined) return MembershipReason.UNKNOWN_CHANNEL;
    const { entityId } = session;
    const isProving = session.identity !== undefined && entityId === undefined;
    const isForSome =
      config.needsToken || config.subscribeCaps !== undefined || config.visibility !== "global";
    if (isForSome && isProving) return "later";
    if (!this.isVisible(config, session)) return MembershipReason.UNAUTHORIZED;
    if (config.subscribeCaps !== undefined && !this.#offers(session.peer.nodeId, config.subscribeCaps)) {
      return MembershipReason.UNAUTHORIZED;
    }
    if (!config.needsToken) return this.#open(isForSome ? entityId : undefined);
    if (entityId === undefined || token === undefined) return MembershipReason.UNAUTHORIZED;
    return this.#verify(session, config, name, token, entityId, known);
  }

  #open(entityId: Uint8Array | undefined): Authorization {
    return {
      chain: undefined,
      chainBytes: undefined,
      entityId,
      checkedRevision: this.revision,
      goodUntil: Number.POSITIVE_INFINITY,
      checkedAt: 0,
    };
  }

  #verify(
    session: Session,
    config: ResolvedChannelConfig,
    name: string,
    token: Uint8Array,
    entityId: Uint8Array,
    known: Authorization | undefined,
  ): SubscribeDecision {
    const isKnown =
      known?.chainBytes !== undefined &&
      equalBytes(known.chainBytes, token) &&
      known.entityId !== undefined &&
      equalBytes(known.entityId, entityId);
    if (!isKnown && !this.#maySpend(session)) return "later";
    try {
      const chain = TokenChain.parse(token);
      const request = this.#request(config, name, TokenScope.SUBSCRIBE, entityId);
      if (isKnown) chain.authorizePresigned(request);
      else chain.authorize(request);
      return {
        chain,
        chainBytes: copyBytes(token),
        entityId,
        checkedRevision: this.revision,
        goodUntil: this.#endOf(chain),
        checkedAt: this.nowSeconds,
      };
    } catch {
      return MembershipReason.UNAUTHORIZED;
    }
  }

  /**
   * Whether what let a peer subscribe still holds for it, in the session that it has now. Where it was for an entity, and that
   * of the session is not known yet, it holds, but nothing may be sent.
   */
  stillHolds(
    authorization: Authorization,
    config: ResolvedChannelConfig | undefined,
    session: Session | undefined,
    name: string,
  ): boolean {
    const { chain, entityId } = authorization;
    if (config === undefined) return this.configs.size === 0;
    if (config.needsToken && chain === undefined) return false;
    if (session?.entityId !== undefined && entityId !== undefined && !isEntity(session, entityId))
      return false;
    if (chain === undefined || entityId === undefined) return true;
    const now = this.nowSeconds;
    const { revision } = this;
    const { checkedRevision, goodUntil, checkedAt } = authorization;
    if (checkedRevision === revision && now < goodUntil && now >= checkedAt) return true;
    try {
      chain.authorizePresigned(this.#request(config, name, TokenScope.SUBSCRIBE, entityId));
    } catch {
      return false;
    }
    authorization.checkedRevision = revision;
    authorization.checkedAt = now;
    return true;
  }

  /** Whether a channel's events are for the session's peer, by their subnets. */
  isVisible({ visibility }: ResolvedChannelConfig, session: Session): boolean {
    return visibility === "global" || isVisible(visibility, this.#subnets.own, this.#subnets.of(session));
  }

  /** Throws `publish-denied` when this node may not publish on the channel. */
  requirePublish(config: ResolvedChannelConfig | undefined, name: string): void {
    if (config === undefined) return;
    const { nodeId, identity } = this.#state.config;
    if (config.publishCaps !== undefined && !this.#offers(nodeId, config.publishCaps)) {
      throw new MeshError(
        "publish-denied",
        `this node does not announce what publishing on ${name} asks for`,
      );
    }
    // A root may do itself what it can let others do.
    if (!config.needsToken || (identity !== undefined && isListed(identity.entityId, config.tokenRoots)))
      return;
    const chain = this.#wallet.find(TokenScope.PUBLISH, channelHash(name), BigInt(this.nowSeconds));
    try {
      if (chain === undefined || identity === undefined) throw new Error("none is installed");
      chain.authorizePresigned(this.#request(config, name, TokenScope.PUBLISH, identity.entityId));
    } catch (cause) {
      throw new MeshError(
        "publish-denied",
        `no token lets this node publish on ${name}: ${(cause as Error).message}`,
      );
    }
  }

  #request(config: ResolvedChannelConfig, name: string, action: number, presenter: Uint8Array) {
    return {
      action,
      channel: channelHash(name),
      presenter,
      roots: config.tokenRoots,
      revocations: this.revocations,
      now: BigInt(this.nowSeconds),
      skew: BigInt(this.#state.config.channels.tokenSkewSeconds),
    };
  }

  #endOf({ links }: TokenChain): number {
    const ends = links.map(({ notAfter }) => Number(notAfter));
    return Math.min(...ends) + this.#state.config.channels.tokenSkewSeconds;
  }

  #offers(nodeId: bigint, filter: CapabilityFilter): boolean {
    const node = this.#index.get(nodeId);
    return (
      node !== undefined &&
      node.deadline > this.#state.nowMs &&
      matchesFilter(filter, node.capabilities, (tag) => node.hasTag(tag))
    );
  }

  #maySpend(session: Session): boolean {
    const { nowMs } = this.#state;
    let own = this.#perPeer.get(session);
    if (own === undefined) {
      own = new OperationBudget(CHAINS_PER_PEER);
      this.#perPeer.set(session, own);
    }
    if (!own.has(nowMs) || !this.#total.has(nowMs)) return false;
    own.spend(nowMs);
    this.#total.spend(nowMs);
    return true;
  }
}

function isListed(entityId: Uint8Array, list: readonly Uint8Array[]): boolean {
  return list.some((listed) => equalBytes(listed, entityId));
}

function isEntity(session: Session, entityId: Uint8Array): boolean {
  const present = session.entityId;
  return present === entityId || (present !== undefined && equalBytes(present, entityId));
}
