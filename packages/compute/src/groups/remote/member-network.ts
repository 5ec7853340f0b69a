import type { ByteStream } from "../../runtime/peer-network.ts";

/** How members of groups are reached on other netmesh nodes; the mesh node fits behind it. */
export interface MemberNetwork {
  /** X25519 static key of a node, for which a member's key can be sealed; undefined unless this node began the session. */
  staticKeyOf(node: bigint): Uint8Array | undefined;
  /** Opens a stream to a node's members, which its `MemberHost` gets. Rejects when there is no session. */
  openMemberStream(node: bigint): Promise<ByteStream>;
}
