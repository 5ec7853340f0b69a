import { hasScope, type TokenChain, TokenScope } from "@netmesh/crypto";
import { MeshError } from "../errors.ts";

/** The token chains that this node holds itself: what it presents to publishers, and publishes by. */
export class TokenWallet {
  readonly #entityId: Uint8Array | undefined;
  /** Fed by the application alone. */
  readonly #chains: TokenChain[] = [];

  /** @param entityId - of this node; without one nothing can be installed */
  constructor(entityId: Uint8Array | undefined) {
    this.#entityId = entityId;
  }

  /** Chains held. */
  get size(): number {
    return this.#chains.length;
  }

  /**
   * Keeps a chain, in place of one whose leaf has the same scope and channel. Throws `invalid-argument` when it is for
   * somebody else, or a link is not signed by its issuer.
   */
  install(chain: TokenChain): void {
    const { leaf, links } = chain;
    if (this.#entityId === undefined || !leaf.isFor(this.#entityId)) {
      throw new MeshError("invalid-argument", "the token is for another node");
    }
    for (const link of links) {
      if (!link.verify()) {
        throw new MeshError("invalid-argument", "a token is not signed by its issuer");
      }
    }
    const index = this.#chains.findIndex(
      (known) => known.leaf.scope === leaf.scope && known.leaf.channel === leaf.channel,
    );
    if (index >= 0) this.#chains[index] = chain;
    else this.#chains.push(chain);
  }

  /** The chain that lets this node do `action` on the channel with that hash at `now` (Unix seconds), if one does. */
  find(action: number, channel: bigint, now: bigint): TokenChain | undefined {
    const fitting = this.#chains.filter(
      ({ links }) =>
        links.every((link) => link.covers(action, channel)) && !links.some((link) => link.isExpired(now)),
    );
    return fitting.find(({ leaf }) => !hasScope(leaf.scope, TokenScope.WILDCARD)) ?? fitting[0];
  }
}
