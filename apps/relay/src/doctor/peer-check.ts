import type { ConnectionReason, Mesh } from "@netmesh/sdk";
import { type Contact, idText, type LocatedContact } from "./contact.ts";
import { type Finding, lineOf } from "./finding.ts";

/** How long the peer's word about its NAT is waited for, in milliseconds. */
const ANNOUNCEMENT_MS = 2_000;
const POLL_MS = 50;

/** Why there is no direct path, in words. */
const CAUSES: Readonly<Partial<Record<ConnectionReason, string>>> = {
  "direct-silent": "the address that the peer announces does not answer: its NAT or firewall lets nothing in",
  "no-way": "both nodes are behind symmetric NATs, or nothing is known of one of them",
  "no-introduction":
    "no relay has introduced the two nodes: none has a session with both, or it lost the request",
  "coordinator-cannot": "the relay has no session with the peer, or does not know where the peer is seen",
  "coordinator-refused": "the relay has refused to introduce the two nodes",
  "nothing-heard":
    "nothing of the peer came through: a firewall on the way, or a symmetric NAT whose port was not found",
  unproven: "something came through, but nothing authenticated, or the handshake failed",
};

/** Reaches a peer step by step: over a relay, then by what it says of its NAT, then without the relay. */
export async function checkPeer(
  mesh: Mesh,
  peer: Contact,
  relays: readonly LocatedContact[],
): Promise<Finding> {
  const name = idText(peer.nodeId);
  const steps: Record<string, unknown> = { nodeId: name };
  const failed = (summary: string, cause: string): Finding => ({
    check: "peer",
    status: "failed",
    summary: `${name} ${summary}`,
    cause,
    details: steps,
  });
  if (peer.address !== undefined) {
    steps["atAddress"] = await mesh.connect({ ...peer, address: peer.address }).then(() => "answers", lineOf);
  }
  const tries: string[] = [];
  for (const relay of relays) {
    if (mesh.peer(peer.nodeId)?.connected === true) break;
    const outcome = await mesh.connectVia(relay.nodeId, peer).then(() => "answers", lineOf);
    tries.push(`${relay.address}: ${outcome}`);
  }
  steps["overRelays"] = tries;
  if (mesh.peer(peer.nodeId)?.connected !== true) {
    const cause =
      relays.length === 0
        ? "there is no relay to reach it by, and its address does not answer"
        : "the peer does not answer over any relay: it is not running, not connected to them, or holds another key";
    return failed("is not reached", cause);
  }
  steps["natType"] = await announcedClass(mesh, peer.nodeId);
  const coordinator = relays.map(({ nodeId }) => nodeId);
  try {
    const { path, reason } = await mesh.connectDirect(peer, { coordinator, upgrade: false });
    const { address, roundTripMs } = mesh.peer(peer.nodeId) ?? {};
    Object.assign(steps, { path, reason, address, roundTripMs });
    const cause = path === "relayed" ? (CAUSES[reason] ?? reason) : undefined;
    return {
      check: "peer",
      status: path === "relayed" ? "warning" : "ok",
      summary: `${name} is reached: ${path} (${reason}) at ${address}, its NAT is ${steps["natType"]}`,
      ...(cause === undefined ? {} : { cause }),
      details: steps,
    };
  } catch (error) {
    return failed("is not reached", lineOf(error));
  }
}

async function announcedClass(mesh: Mesh, nodeId: bigint): Promise<string> {
  const endMs = performance.now() + ANNOUNCEMENT_MS;
  for (;;) {
    const natType = mesh.nat.peerNatType(nodeId);
    if (natType !== "unknown" || performance.now() > endMs) return natType;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
