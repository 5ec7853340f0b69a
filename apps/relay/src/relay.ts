import { bytesToHex, Identity, Mesh, type PortMappingStatus } from "@netmesh/sdk";
import { answerClock } from "./clock-service.ts";
import type { Reporter } from "./reporter.ts";
import { summary } from "./reporter.ts";
import type { Settings } from "./settings.ts";

/** Phases of a port mapping in which its operator has something to know. */
const TOLD_PHASES: readonly PortMappingStatus["phase"][] = ["installed", "revoked", "waiting"];

/** A running relay. */
export interface RunningRelay {
  readonly mesh: Mesh;
  /** Closes the socket and reports the final figures. Idempotent. */
  stop(reason: string): Promise<void>;
}

/** Starts a relay and reports where it listens, who comes and goes, and how things stand. */
export async function startRelay(settings: Settings, reporter: Reporter): Promise<RunningRelay> {
  const mesh = await Mesh.open({
    bind: settings.bind,
    psk: settings.psk,
    identity: Identity.fromSeed(settings.identitySeed),
    relay: "peers",
    security: settings.security,
    socket: settings.socket,
    auditRelay: settings.audit,
    portMapping: settings.portMapping,
  });
  answerClock(mesh);
  for (const path of settings.created) reporter.event("created", { file: path });
  const nodeId = mesh.nodeId.toString(16).padStart(16, "0");
  const publicKey = bytesToHex(mesh.noisePublicKey);
  reporter.event("listening", {
    address: mesh.localAddress,
    socket: mesh.stats().socket?.mode,
    nodeId,
    publicKey,
    // As `netmesh doctor` takes it, but for the address under which others reach the relay.
    contact: `${nodeId}:${publicKey}`,
  });
  for (const type of ["peer-connected", "peer-lost", "peer-recovered"] as const) {
    mesh.addEventListener(type, ({ peer }) => {
      reporter.event(type, { nodeId: peer.nodeId.toString(16).padStart(16, "0"), address: peer.address });
    });
  }
  mesh.addEventListener("port-mapping-changed", ({ phase, external, error }) => {
    if (!TOLD_PHASES.includes(phase)) return;
    reporter.event("port-mapping", { phase, external, error: error?.message });
  });
  mesh.addEventListener("error", ({ error }) => reporter.event("error", { message: String(error) }));
  let last = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    reporter.status(mesh.stats(), now - last);
    last = now;
  }, settings.statusMs);
  let stopping: Promise<void> | undefined;
  return {
    mesh,
    stop(reason) {
      stopping ??= (async () => {
        clearInterval(timer);
        const final = summary(mesh.stats());
        await mesh.shutdown();
        reporter.event("stopped", { reason, ...final });
      })();
      return stopping;
    },
  };
}
