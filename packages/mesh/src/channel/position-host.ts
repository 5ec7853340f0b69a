import { encodeMembership, type PositionRequest, Subprotocol } from "@netmesh/wire";
import type { CoreState } from "../core/state.ts";
import type { PacketWriter } from "../session/packet-writer.ts";
import type { Session } from "../session/session.ts";
import type { Roster, RosterChannel } from "./roster.ts";

/** The publisher's side of positions: tells subscribers how far a channel is (docs/protocol/channels.md). Remembers nothing. */
export class PositionHost {
  readonly #state: CoreState;
  readonly #writer: PacketWriter;
  readonly #roster: Roster;

  constructor(state: CoreState, writer: PacketWriter, roster: Roster) {
    this.#state = state;
    this.#writer = writer;
    this.#roster = roster;
  }

  /** Takes a request. A repeated one is answered anew: what was true the first time has passed. */
  onRequest(session: Session, { nonce, channel: name }: PositionRequest): void {
    const { counters } = this.#state;
    const channel = this.#roster.channel(name);
    const member = channel?.members.get(session.peer.nodeId);
    // Who shares the events with others cannot be told which of them are its own.
    const mayKnow = member !== undefined && member.group === undefined && session.features !== 0;
    if (channel === undefined || !mayKnow) {
      counters.positionsRefused++;
      return;
    }
    const sequence = this.#nextSequence(session, channel);
    if (sequence === undefined) {
      counters.positionsDeferred++;
      return;
    }
    counters.positionsAnswered++;
    const { position } = channel;
    const answer = encodeMembership({ type: "position", nonce, sequence, position: BigInt(position) });
    // Without room the peer asks again.
    this.#writer.sendMessage(session, Subprotocol.CHANNEL_MEMBERSHIP, answer);
  }

  /**
   * Where the next event for the subscriber will be: no packet before that sequence has it, and all those with earlier events are before it.
   * Undefined while that is not certain.
   */
  #nextSequence(session: Session, channel: RosterChannel): number | undefined {
    const { streamIdLo, streamIdHi } = channel;
    const stream = session.streams.get(streamIdLo, streamIdHi);
    if (stream === undefined) return session.closedStreams.get(streamIdLo, streamIdHi)?.sendNext ?? 0;
    const { queue, sendWindow, nextSequence, startsOver } = stream;
    const next = sendWindow?.next ?? nextSequence;
    if (queue.count === 0) return next;
    // Packets that wait are cut into more when the path becomes narrower.
    if (this.#writer.isAboveBase(session, this.#writer.payloadLimit(session))) return undefined;
    queue.sealOpen();
    return next + queue.count + (startsOver ? 1 : 0);
  }
}
