import type { ConnectionReason, Mesh, Peer } from "@netmesh/sdk";
import { type Contact, idText, type LocatedContact } from "./contact.ts";
import { type Finding, lineOf, reasonOf, type Tell } from "./finding.ts";

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

/**
 * Reaches a peer step by step: at its address, if one is given, over the relays, by what it says of its NAT, and then without a
 * relay. Tells each step, the outcome last; gives the peer when it is reached.
 */
export async function checkPeer(
  mesh: Mesh,
  peer: Contact,
  relays: readonly LocatedContact[],
  tell: Tell,
): Promise<Peer | undefined> {
  const name = idText(peer.nodeId);
  const details: Record<string, unknown> = { nodeId: name };
  const outcome = (finding: Pick<Finding, "status" | "summary" | "cause">): void => {
    tell({ check: "peer", ...finding, summary: `${name} ${finding.summary}`, details });
  };
  if (peer.address !== undefined) await checkAddress(mesh, { ...peer, address: peer.address }, tell);
  if (!isReached(mesh, peer)) await checkRelays(mesh, peer, relays, tell);
  if (!isReached(mesh, peer)) {
    const cause =
      relays.length === 0
        ? `no relay answers to reach the peer by, and its address ${peer.address === undefined ? "was not given" : "does not answer"}`
        : "the peer does not answer over any relay: it is not running, not connected to them, or holds another key";
    outcome({ status: "failed", summary: "is not reached", cause });
    return undefined;
  }
  const natType = await checkNat(mesh, peer, tell);
  const coordinator = relays.map(({ nodeId }) => nodeId);
  try {
    const startMs = performance.now();
    const { path, reason, peer: reached } = await mesh.connectDirect(peer, { coordinator, upgrade: false });
    const tookMs = Math.round(performance.now() - startMs);
    const { address } = reached;
    Object.assign(details, { natType, path, reason, address, tookMs });
    const cause = path === "relayed" ? (CAUSES[reason] ?? reason) : undefined;
    outcome({
      status: path === "relayed" ? "warning" : "ok",
      summary: `is reached at ${address}: ${path} (${reason}), after ${tookMs} ms`,
      ...(cause === undefined ? {} : { cause }),
    });
    return reached;
  } catch (error) {
    outcome({ status: "failed", summary: "is not reached", cause: lineOf(error) });
    return undefined;
  }
}

function isReached(mesh: Mesh, { nodeId }: Contact): boolean {
  return mesh.peer(nodeId)?.connected === true;
}

async function checkAddress(mesh: Mesh, peer: LocatedContact, tell: Tell): Promise<void> {
  const { address } = peer;
  const details = { nodeId: idText(peer.nodeId), address };
  try {
    const { roundTripMs } = await mesh.connect(peer);
    tell({
      check: "peer-address",
      status: "ok",
      summary: `the peer answers at ${address} in ${roundTripMs?.toFixed(1)} ms`,
      details: { ...details, roundTripMs },
    });
  } catch (error) {
    const cause = reasonOf(
      error,
      `nothing listens at ${address}, a NAT or firewall before it lets nothing in, or a key is another`,
    );
    tell({
      check: "peer-address",
      status: "warning",
      summary: `the peer does not answer at ${address}`,
      cause,
      details,
    });
  }
}

/** Until one of them leads to the peer. */
async function checkRelays(
  mesh: Mesh,
  peer: Contact,
  relays: readonly LocatedContact[],
  tell: Tell,
): Promise<void> {
  for (const { nodeId, address } of relays) {
    const details = { nodeId: idText(peer.nodeId), relay: address };
    try {
      const { roundTripMs } = await mesh.connectVia(nodeId, peer);
      tell({
        check: "peer-relay",
        status: "ok",
        summary: `the peer answers over ${address} in ${roundTripMs?.toFixed(1)} ms`,
        details: { ...details, roundTripMs },
      });
      return;
    } catch (error) {
      tell({
        check: "peer-relay",
        status: "warning",
        summary: `the peer does not answer over ${address}`,
        cause: reasonOf(error, `it is not running, not connected to ${address}, or holds another key`),
        details,
      });
    }
  }
}

/** What the peer announces of its NAT; `"unknown"` when it says nothing in time. */
async function checkNat(mesh: Mesh, { nodeId }: Contact, tell: Tell): Promise<string> {
  const endMs = performance.now() + ANNOUNCEMENT_MS;
  while (mesh.nat.peerNatType(nodeId) === "unknown" && performance.now() < endMs) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const natType = mesh.nat.peerNatType(nodeId);
  const reflexAddress = mesh.nat.peerReflexAddress(nodeId) ?? null;
  const details = { nodeId: idText(nodeId), natType, reflexAddress };
  const isKnown = natType !== "unknown";
  tell({
    check: "peer-nat",
    status: isKnown ? "ok" : "skipped",
    summary: isKnown
      ? `the peer says that it is ${natType}, seen at ${reflexAddress}`
      : "the peer does not say how it is seen: it has fewer than two direct peers of its own",
    details,
  });
  return natType;
}
