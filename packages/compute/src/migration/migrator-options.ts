import type { RandomSource, X25519KeyPair } from "@netmesh/crypto";
import type { ChannelMembership } from "../runtime/peer-network.ts";
import type { CausalEvent } from "../state/causal-event.ts";
import type { Subscription } from "../state/subscription-ledger.ts";
import type { BufferLimits } from "./event-buffer.ts";
import type { FailureReason } from "./failure-reason.ts";
import type { HandoverStore } from "./handover-store.ts";
import type { MigrationPhase } from "./phases.ts";
import type { ReassemblerLimits } from "./snapshot-reassembler.ts";

/** A phase without progress ends a migration after this, unless configured otherwise, in milliseconds. */
export const DEFAULT_PHASE_TIMEOUT_MS = 30_000;
/** How long a target may take to get ready, unless configured otherwise, in milliseconds. */
export const DEFAULT_RETRY_NOT_READY_MS = 30_000;

/** A peer asks for a daemon, key included, to be sent to a node. */
export interface TakeSnapshotRequest {
  readonly originHash: bigint;
  /** Who asks, and will conduct the move. */
  readonly orchestrator: bigint;
  /** Where the daemon shall go. */
  readonly target: bigint;
}

/** What an application may want to know of migrations. */
export type MigrationEvent =
  /** A daemon has left. */
  | { readonly kind: "departed"; readonly originHash: bigint; readonly node: bigint }
  /** A daemon has arrived and lives here. */
  | { readonly kind: "arrived"; readonly originHash: bigint; readonly from: bigint }
  /** An arrival or departure that a peer conducts has failed; the daemon stays where it was. */
  | { readonly kind: "failed"; readonly originHash: bigint; readonly reason: FailureReason }
  /** Events that came from a source of the reference, and could not be replayed for want of those before them. */
  | {
      readonly kind: "events-left-over";
      readonly originHash: bigint;
      readonly events: readonly CausalEvent[];
    }
  /** The daemon that arrived could not be made a member of one of its channels. */
  | {
      readonly kind: "subscription-failed";
      readonly originHash: bigint;
      readonly subscription: Subscription;
      readonly cause: unknown;
    }
  /** A daemon is sent without its key, because its orchestrator asked and this node cannot seal it for the target. */
  | { readonly kind: "unsealed"; readonly originHash: bigint; readonly node: bigint };

/** What a migrator is made of, beside the parts of its runtime. */
export interface MigratorOptions {
  /** The X25519 key pair of this node, its Noise static key: opens the keys of daemons that arrive. Without, none with a sealed key can. */
  readonly staticKey?: X25519KeyPair;
  /** How daemons that arrive become members of their channels again. */
  readonly channels?: ChannelMembership;
  /** Whether a peer may move a daemon away from here. Nobody may by default: whoever may gets the daemon's key to any node it names. */
  readonly authorize?: (request: TakeSnapshotRequest) => boolean | PromiseLike<boolean>;
  /** A node for a daemon, for migrations without a named target. */
  readonly chooseTarget?: (originHash: bigint) => bigint | undefined;
  /** What survives a crash of this process; memory, and so nothing, by default. */
  readonly store?: HandoverStore;
  /** Names moves; the platform's by default. */
  readonly random?: RandomSource;
  /** Longest phase without progress in milliseconds; 30 000 by default. */
  readonly phaseTimeoutMs?: number;
  /** Told what happens. What it throws is ignored. */
  readonly onEvent?: (event: MigrationEvent) => void;
  /** Bounds of events that are kept for a daemon on its way. */
  readonly bufferLimits?: BufferLimits;
  /** Bounds of snapshots on their way here. */
  readonly reassemblerLimits?: ReassemblerLimits;
}

/** How a migration goes. */
export interface MigrationOptions {
  /** Whether the daemon's key travels, sealed for the target; true by default. For a source elsewhere of the reference only a hint. */
  readonly transportIdentity?: boolean;
  /** How long to try again while the target is not ready, in milliseconds; 30 000 by default, 0 for not at all. */
  readonly retryNotReadyMs?: number;
  /** The messages of Net even where the target is a netmesh node; chosen by what the target is by default. */
  readonly form?: "net";
}

/** A migration under way, as this node sees it. */
export interface MigrationSummary {
  readonly originHash: bigint;
  readonly source: bigint;
  readonly target: bigint;
  readonly phase: MigrationPhase;
  readonly elapsedMs: number;
  readonly phaseAgeMs: number;
  readonly snapshotBytes: number;
  readonly retries: number;
}

/** What was dropped or repeated, since the migrator was made. */
export interface MigratorStats {
  /** Messages that could not be parsed. */
  malformed: number;
  /** Messages of nodes that have no say. */
  wrongPeer: number;
  /** Messages for no migration, or too early. */
  unexpected: number;
  /** Chunks that were refused. */
  refusedChunks: number;
  /** Messages sent again. */
  resent: number;
  /** Chains of messages to this node itself that were cut. */
  cutLoops: number;
  /** Requests to move a daemon away that were refused. */
  refusedRequests: number;
}
