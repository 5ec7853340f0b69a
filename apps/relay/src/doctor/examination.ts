import { randomBytes } from "node:crypto";
import { Mesh, type Peer } from "@netmesh/sdk";
import { ClockReader } from "../clock-service.ts";
import { idText, type LocatedContact } from "./contact.ts";
import type { DoctorSettings } from "./doctor-settings.ts";
import { lineOf, reasonOf, type Tell } from "./finding.ts";
import { checkPathMtu } from "./path-mtu-check.ts";
import { checkPeer } from "./peer-check.ts";
import { checkPortMapping } from "./port-mapping-check.ts";

/** A clock that is further off makes punches miss their moment and tokens invalid. */
const CLOCK_TOLERANCE_MS = 1_000;
/** Handshakes with relays are given up after three times as long. */
const HANDSHAKE_MS = 1_500;

interface KnownRelay extends LocatedContact {
  readonly peer: Peer;
}

/** Examines this host, the way to the relays, and the way to each peer; tells each finding as it is made. */
export async function examine(settings: DoctorSettings, tell: Tell): Promise<void> {
  let mesh: Mesh;
  try {
    mesh = await Mesh.open({
      bind: settings.bind,
      psk: settings.psk ?? randomBytes(32),
      handshakeTimeoutMs: HANDSHAKE_MS,
      nat: { upgrade: false },
    });
  } catch (error) {
    tell({ check: "socket", status: "failed", summary: "no socket", cause: lineOf(error) });
    return;
  }
  try {
    const mode = mesh.stats().socket?.mode;
    tell({
      check: "socket",
      status: "ok",
      summary: `${mode} socket at ${mesh.localAddress}`,
      details: { address: mesh.localAddress, mode },
    });
    const relays = await checkRelays(mesh, settings.relays, tell);
    await checkReflexes(mesh, relays, tell);
    await checkNat(mesh, relays, tell);
    if (settings.asksRouter) {
      const port = Number(mesh.localAddress.split(":").at(-1));
      tell(await checkPortMapping(port, mesh.nat.type === "open"));
    }
    await checkClocks(mesh, relays, tell);
    const reached = relays.map(({ peer }) => peer);
    for (const contact of settings.peers) {
      const peer = await checkPeer(mesh, contact, relays, tell);
      if (peer !== undefined) reached.push(peer);
    }
    for (const finding of await Promise.all(reached.map(checkPathMtu))) tell(finding);
  } finally {
    await mesh.shutdown({ graceMs: 0 });
  }
}

async function checkRelays(mesh: Mesh, relays: readonly LocatedContact[], tell: Tell): Promise<KnownRelay[]> {
  const known: KnownRelay[] = [];
  if (relays.length === 0) {
    tell({
      check: "relay",
      status: "skipped",
      summary: "no relay was given, so nobody says how this host is seen",
    });
  }
  await Promise.all(
    relays.map(async (relay) => {
      const name = `${idText(relay.nodeId)} at ${relay.address}`;
      try {
        const peer = await mesh.connect(relay);
        known.push({ ...relay, peer });
        tell({
          check: "relay",
          status: "ok",
          summary: `${name} answers in ${peer.roundTripMs?.toFixed(1)} ms, ${peer.security}`,
          details: { nodeId: idText(relay.nodeId), address: relay.address, roundTripMs: peer.roundTripMs },
        });
      } catch (error) {
        tell({
          check: "relay",
          status: "failed",
          summary: `${name} is not reached`,
          cause: reasonOf(error, silence(relay.address, known.length > 0)),
          details: { nodeId: idText(relay.nodeId), address: relay.address, error: lineOf(error) },
        });
      }
    }),
  );
  return known;
}

/** Why a relay may be silent: what all have in common is not it when another one answers. */
function silence(address: string, doOthersAnswer: boolean): string {
  return doOthersAnswer
    ? `${address} does not answer: it is not running, a firewall before it drops UDP, or its public key is another`
    : `${address} does not answer: UDP is blocked, it is not running, or the mesh key or its public key is another`;
}

async function checkReflexes(mesh: Mesh, relays: readonly KnownRelay[], tell: Tell): Promise<void> {
  await Promise.all(
    relays.map(async ({ nodeId, address }) => {
      try {
        const reflex = await mesh.nat.probeReflex(nodeId);
        tell({
          check: "reflex",
          status: "ok",
          summary: `${address} sees this host at ${reflex}`,
          details: { relay: address, reflex },
        });
      } catch (error) {
        const summary = `${address} does not say where it sees this host`;
        tell({
          check: "reflex",
          status: "warning",
          summary,
          cause: lineOf(error),
          details: { relay: address },
        });
      }
    }),
  );
}

async function checkNat(mesh: Mesh, relays: readonly KnownRelay[], tell: Tell): Promise<void> {
  if (relays.length === 0) return;
  if (relays.length > 1) await mesh.nat.reclassify();
  const { type, reflexAddress = null } = mesh.nat;
  const details = { type, reflexAddress };
  if (type === "unknown") {
    const cause =
      relays.length > 1 ? "the relays do not say where they see this host" : "it takes two relays to tell";
    tell({ check: "nat", status: "warning", summary: "the kind of NAT is not known", cause, details });
    return;
  }
  const isSymmetric = type === "symmetric";
  tell({
    check: "nat",
    status: isSymmetric ? "warning" : "ok",
    summary: `${type}, seen at ${reflexAddress}`,
    ...(isSymmetric
      ? { cause: "the NAT takes another port for each destination: a mapped port on the router would help" }
      : {}),
    details,
  });
}

async function checkClocks(mesh: Mesh, relays: readonly KnownRelay[], tell: Tell): Promise<void> {
  const reader = new ClockReader(mesh);
  for (const { nodeId, address } of relays) {
    const reading = await reader.read(nodeId);
    if (reading === undefined) {
      tell({
        check: "clock",
        status: "skipped",
        summary: `${address} does not tell the time`,
        details: { relay: address },
      });
      continue;
    }
    const { offsetMs, roundTripMs } = reading;
    const isClose = Math.abs(offsetMs) <= CLOCK_TOLERANCE_MS + roundTripMs / 2;
    const summary = `this host's clock is ${Math.abs(Math.round(offsetMs))} ms ${offsetMs > 0 ? "behind" : "ahead of"} that of ${address}`;
    tell({
      check: "clock",
      status: isClose ? "ok" : "warning",
      summary,
      ...(isClose ? {} : { cause: `${summary}: one of them is wrong` }),
      details: { relay: address, offsetMs, roundTripMs },
    });
  }
}
