import {
  decodePathProbe,
  EVENT_LENGTH_PREFIX,
  encodePathProbe,
  encodePathProbeAnswer,
  NETMESH_CONTROL,
  PathProbeKind,
  PeerFeature,
} from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Path, Session } from "../session/session.ts";
import {
  BASE_DATAGRAM_BYTES,
  ETHERNET_IPV4_BYTES,
  ETHERNET_IPV6_BYTES,
  MAX_DATAGRAM_BYTES,
} from "./constants.ts";

/** Finds out, for every session, how large the datagrams of its path may be (docs/protocol/path-mtu.md). */
export class PathProber {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;

  constructor(state: CoreState, writer: PacketWriter) {
    this.#state = state;
    this.#writer = writer;
  }

  /** To be called when a session is made, and whenever its path has become another one. */
  onNewPath(session: Session): void {
    const { config, nowMs, alarms } = this.#state;
    const { path, pathMtu } = session;
    const bytes = config.fixedDatagramBytes(path.address);
    if (bytes !== undefined) pathMtu.fix(bytes);
    // Nodes of the reference answer no probes.
    else if (!session.has(PeerFeature.PATH_MTU)) pathMtu.fix(BASE_DATAGRAM_BYTES);
    else {
      pathMtu.search(this.#most(path), nowMs);
      if (session.heapIndex >= 0) alarms.hasten(session, nowMs);
    }
  }

  /** The largest datagram to search for. */
  #most({ address, routed }: Path): number {
    // Whether a relay's socket lets its system cut datagrams is not known here, nor how its next hop is addressed.
    if (routed) return ETHERNET_IPV6_BYTES;
    if (!this.#state.config.fragments) return MAX_DATAGRAM_BYTES;
    return address.family === 4 ? ETHERNET_IPV4_BYTES : ETHERNET_IPV6_BYTES;
  }

  /** Takes a control event that is a probe or an answer, out of a packet with so many bytes of plain text. */
  onControl(session: Session, event: Uint8Array, payloadLength: number): void {
    const { counters, nowMs, alarms } = this.#state;
    const probe = decodePathProbe(event);
    if (probe === undefined) {
      counters.controlMalformed++;
      return;
    }
    const { kind, id, size } = probe;
    if (kind === PathProbeKind.ANSWER) {
      if (!session.pathMtu.answered(id, size, nowMs)) counters.pathProbeIgnored++;
      else alarms.hasten(session, nowMs);
      return;
    }
    // With company it would have another size than it says.
    if (payloadLength !== EVENT_LENGTH_PREFIX + event.length) {
      counters.controlMalformed++;
      return;
    }
    if (!session.probeAnswers.has(nowMs)) {
      counters.pathProbeLimited++;
      return;
    }
    session.probeAnswers.spend(nowMs);
    if (this.#writer.sendControl(session, NETMESH_CONTROL, [encodePathProbeAnswer(id, size)])) {
      counters.pathProbesAnswered++;
    }
  }

  /** Sends the probes that are due; returns the next deadline. */
  onDeadline(session: Session): number {
    const { nowMs, counters } = this.#state;
    const { pathMtu } = session;
    // Nobody would answer.
    if (!session.isConfirmed || session.isSilent || session.peer.session !== session) {
      return Number.POSITIVE_INFINITY;
    }
    const before = pathMtu.datagramBytes;
    for (let probe = pathMtu.next(nowMs); probe !== undefined; probe = pathMtu.next(nowMs)) {
      const event = encodePathProbe(probe.id, probe.size, session.path.routed);
      if (this.#writer.sendControl(session, NETMESH_CONTROL, [event])) counters.pathProbesSent++;
    }
    if (pathMtu.datagramBytes < before) {
      // What was lost was too large, not too much: the repairs, smaller now, need not wait as long.
      for (const { sendWindow } of session.timedStreams) {
        if (sendWindow !== undefined) sendWindow.roundTrip.backoff = 0;
      }
    }
    return pathMtu.deadline;
  }
}
