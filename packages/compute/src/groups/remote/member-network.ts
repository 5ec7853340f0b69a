import type { ByteStream } from "../../runtime/peer-network.ts";

/** How members of groups are reached on other netmesh nodes; the mesh node fits behind it. */
export interface MemberNetwork {
  /** X25519 static key of a node, for which a member's key can be sealed; undefined unless this node began the session, or has asked for it. */
  staticKeyOf(node: bigint): Uint8Array | undefined;
  /** Asks a node whose identity is proven for its static key, which `staticKeyOf` then knows. Whether it is known; rejects where no daemons run. */
  learnStaticKey?(node: bigint, originHash: bigint): Promise<boolean>;
  /** Opens a stream to a node's members, which its `MemberHost` gets. Rejects when there is no session. */
  openMemberStream(node: bigint): Promise<ByteStream>;
}
