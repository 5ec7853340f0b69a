import {
  deriveForwardSecretKeys,
  deriveSessionKeys,
  type NoiseResult,
  type SessionKeys,
} from "@netmesh/crypto";
import { PeerFeature } from "@netmesh/wire";
import type { CoreConfig } from "../core/config.ts";
import type { SessionRole } from "../session/session.ts";

/**
 * What this node does about forward secrecy: `prefer` uses it with every peer that announces it, `require` refuses
 * every other peer, `interop` neither announces nor uses it.
 */
export type SecurityMode = "prefer" | "require" | "interop";

/** Where the keys of a session come from: Diffie-Hellman results, or what Net 0.27 takes, the PSK and public bytes. */
export type SessionSecurity = "forward-secret" | "interop";

/** Bits of `PeerFeature` that are in effect between two nodes: what both announce, and what has no effect alone left out. */
export function agreedFeatures(announced: number, own: number): number {
  const both = announced & own;
  const needSecrets = PeerFeature.REKEY | PeerFeature.IDENTITY;
  return (both & PeerFeature.FORWARD_SECRET) === 0 ? both & ~needSecrets : both;
}

/** Whether this node makes no session of these features. */
export function isInsecure(features: number, { security }: CoreConfig): boolean {
  return security === "require" && (features & PeerFeature.FORWARD_SECRET) === 0;
}

/** Session id and keys of a completed handshake, by the schedule that the two nodes have agreed on. */
export function sessionKeys(result: NoiseResult, features: number, role: SessionRole): SessionKeys {
  return (features & PeerFeature.FORWARD_SECRET) === 0
    ? deriveSessionKeys(result.handshakeHash, role)
    : deriveForwardSecretKeys(result, role);
}
