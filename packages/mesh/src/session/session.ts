import type { PacketCipher } from "@netmesh/crypto";
import { PacketBuilder, type SealingKey } from "@netmesh/pool";
import { high32, low32, PeerFeature, type SocketAddress, U64Map } from "@netmesh/wire";
import type { PathWatch } from "../control/path-watch.ts";
import type { Alarm } from "../core/state.ts";
import type { SessionSecurity } from "../handshake/security.ts";
import type { IdentityState } from "../identity/identity-state.ts";
import { ANSWERS_PER_SECOND } from "../path-mtu/constants.ts";
import type { PathMtu } from "../path-mtu/path-mtu.ts";
import { OperationBudget } from "../rekey/operation-budget.ts";
import { ReceiveEpochs } from "../rekey/receive-epochs.ts";
import type { RekeyState } from "../rekey/rekey-state.ts";
import type { PacketAssembly } from "../stream/packet-assembly.ts";
import type { Stream } from "../stream/stream.ts";
import type { Peer } from "./peer.ts";

/** Which side of the handshake this node was. */
export type SessionRole = "initiator" | "responder";

/** Where the packets of a session go. */
export interface Path {
  /** The next hop: the peer itself, or a relay. */
  readonly address: SocketAddress;
  /** Whether packets carry the routing header, because the next hop is not the peer. */
  readonly routed: boolean;
}

/** Whether two paths are one. */
export function isSamePath(a: Path, b: Path): boolean {
  return a.routed === b.routed && a.address.key === b.address.key;
}

/** Authenticated packets from a new source that it takes to move a session there. */
export const MIGRATION_THRESHOLD = 3;
/** Pings of its paths that a peer is answered in a second: of several at once, at heartbeats every few milliseconds. */
const PING_ANSWERS_PER_SECOND = 512;

/** An agreement on keys with a peer, and everything that lives and dies with it (spec/session.md §2). */
export class Session implements Alarm {
  readonly id: bigint;
  readonly idLo: number;
  readonly idHi: number;
  readonly role: SessionRole;
  readonly peer: Peer;
  /** Bits of `PeerFeature` that are in effect: announced by both sides; 0 with a node of the reference. */
  readonly features: number;
  /** Opens what the peer seals, once. */
  readonly rx: ReceiveEpochs;
  /** Present when both sides renew the keys. */
  readonly rekeying: RekeyState | undefined;
  /** Present when both sides prove who they are. */
  readonly identity: IdentityState | undefined;
  /** The peer's public key that its signed announcement has shown, where it proves no other way. */
  announcedEntity: Uint8Array | undefined;
  /** Seals outgoing packets. */
  readonly builder: PacketBuilder;
  /** The only holder of the transmit key and its counter. */
  #sealingKey: SealingKey;
  /** The counter of the transmit key has come to its end: the session has to. */
  isExhausted = false;
  /** Round trip of the handshake in milliseconds, where it was measured. */
  roundTripMs: number | undefined;

  path: Path;
  /** Whether the peer answers over that path; present while signs of life can be expected. */
  watch: PathWatch | undefined;
  /** Where the peer was last reached without a relay. */
  directAddress: SocketAddress | undefined;
  /** How large its datagrams may be. */
  readonly pathMtu: PathMtu;
  /** Answers to the peer's probes of its path. */
  readonly probeAnswers: OperationBudget = new OperationBudget(ANSWERS_PER_SECOND);
  /** Answers to the peer's pings of its paths. */
  readonly pingAnswers: OperationBudget = new OperationBudget(PING_ANSWERS_PER_SECOND);
  /** Whether the peer has proven to hold the keys by an authenticated packet. */
  isConfirmed = false;
  /** Called when that happens. */
  onConfirmed: ((peer: Peer) => void) | undefined;
  /** Whether an authenticated packet has arrived; message 2, which confirms what this node has begun, is none. */
  isHeard = false;
  /** When the last authenticated packet arrived, or the session was made. */
  lastReceiveMs: number;
  createdMs: number;
  /** The peer has been silent for the session time-out. */
  isSilent = false;

  readonly streams: U64Map<Stream>;
  /** Streams that need a look when the session's deadline passes. */
  readonly timedStreams: Set<Stream> = new Set();
  /** What is left of closed streams; bounded, the oldest leaves first. */
  readonly closedStreams: U64Map<ClosedStream>;
  /** Packets that arrive in parts; present from the first part on. */
  assembly: PacketAssembly | undefined;
  /** As that, of messages of subprotocols. */
  messageAssembly: PacketAssembly | undefined;
  /** Bytes of received events that the application has not taken, over all streams. */
  bufferedBytes = 0;
  /** Sequence of packets on the control stream. */
  controlSequence = 0;
  /** Sequence of packets with a message of a subprotocol, whichever it is. */
  messageSequence = 0;
  /** Epoch of the next explicit open. */
  nextEpoch = 1;
  nextHeartbeatMs = 0;

  /** Candidate for a change of address, and how many packets spoke for it. */
  migrationAddress: SocketAddress | undefined;
  migrationVotes = 0;

  deadline: number = Number.POSITIVE_INFINITY;
  heapIndex = -1;
  readonly #onDeadline: (session: Session) => void;

  constructor(init: SessionInit) {
    this.id = init.id;
    this.idLo = low32(init.id);
    this.idHi = high32(init.id);
    this.role = init.role;
    this.peer = init.peer;
    this.features = init.features;
    this.rx = new ReceiveEpochs(init.opener, init.rekeying !== undefined);
    this.rekeying = init.rekeying;
    this.identity = init.identity;
    this.#sealingKey = init.sealingKey;
    this.builder = new PacketBuilder(init.sealingKey);
    this.streams = new U64Map(init.hashSeed);
    this.closedStreams = new U64Map(init.hashSeed);
    this.path = init.path;
    this.pathMtu = init.pathMtu;
    this.roundTripMs = init.roundTripMs;
    this.lastReceiveMs = init.nowMs;
    this.createdMs = init.nowMs;
    this.#onDeadline = init.onDeadline;
  }

  ring(): void {
    this.#onDeadline(this);
  }

  /** Whether the feature is in effect: both sides announced it. */
  has(feature: number): boolean {
    return (this.features & feature) !== 0;
  }

  /** Whether the keys depend on Diffie-Hellman results, or only on the PSK and public bytes as with Net 0.27. */
  get security(): SessionSecurity {
    return this.has(PeerFeature.FORWARD_SECRET) ? "forward-secret" : "interop";
  }

  /**
   * The peer's Ed25519 public key, 32 bytes, once it is known to be the peer's: by a proof in this session, or, of nodes that
   * give none, by a signed announcement, which somebody else could have repeated.
   */
  get entityId(): Uint8Array | undefined {
    return this.identity === undefined ? this.announcedEntity : this.identity.proven;
  }

  /** How many times the keys were renewed: the epoch of the one that this side seals with. */
  get keyEpoch(): number {
    return this.rekeying?.epoch ?? 0;
  }

  /** Whether the peer takes heartbeats on this path: nodes of the reference do not through relays. */
  get takesHeartbeats(): boolean {
    return !this.path.routed || this.has(PeerFeature.ROUTED_HEARTBEAT);
  }

  /** Seals with another key from now on, and wipes the one before. */
  useKey(key: SealingKey): void {
    this.#sealingKey.retire();
    this.#sealingKey = key;
    this.builder.useKey(key);
  }

  /** Wipes the keys. Nothing can be sealed or opened any more. */
  destroy(): void {
    this.rx.destroy();
    this.rekeying?.destroy();
    this.#sealingKey.retire();
  }
}

/** What a {@link Session} is made of. */
export interface SessionInit {
  readonly id: bigint;
  readonly role: SessionRole;
  readonly peer: Peer;
  readonly features: number;
  /** Opens the packets of the first epoch. */
  readonly opener: PacketCipher;
  /** Seals those. */
  readonly sealingKey: SealingKey;
  /** Given when both sides renew the keys. */
  readonly rekeying: RekeyState | undefined;
  /** Given when both sides prove who they are. */
  readonly identity: IdentityState | undefined;
  /** Seeds the hash of ids that the peer chooses. */
  readonly hashSeed: number;
  readonly path: Path;
  readonly pathMtu: PathMtu;
  readonly roundTripMs: number | undefined;
  readonly nowMs: number;
  /** Called when the session's deadline has passed. */
  readonly onDeadline: (session: Session) => void;
}

/**
 * What remains of a closed stream: its totals go on where they stopped when the id is used again, so that a late or
 * repeated packet of the old one can never be taken for one of the new one (spec/session.md §14, S8).
 */
export interface ClosedStream {
  readonly id: bigint;
  readonly closedMs: number;
  /** Everything sent was acknowledged. */
  readonly wasDrained: boolean;
  readonly sendNext: number;
  readonly sentBytes: number;
  readonly receiveNext: number;
  readonly consumedBytes: number;
}
