/**
 * Daemons of Net 0.27: causal chains, snapshots, hosts, registries and the runtime that owns them.
 * @packageDocumentation
 */

// Causal chains

export { CausalChain, type ChainFault, checkSuccessor } from "./state/causal-chain.ts";
export { couldHaveInfluenced, type Influence } from "./state/causal-cone.ts";
export {
  type CausalEvent,
  decodeCausalEvents,
  encodeCausalEvents,
  type FramedEvents,
} from "./state/causal-event.ts";
export {
  CAUSAL_LINK_SIZE,
  type CausalLink,
  decodeCausalLink,
  encodeCausalLink,
  equalLinks,
  genesisLink,
  isGenesis,
  nextLink,
  parentHash,
  writeCausalLink,
} from "./state/causal-link.ts";
export { DEFAULT_MAX_LOG_EVENTS, EntityLog, type LogBase, type LogFault } from "./state/entity-log.ts";
export {
  DEFAULT_MAX_ORIGINS,
  horizonBits,
  mightContain,
  ObservedHorizon,
  potentiallyConcurrent,
} from "./state/horizon.ts";
export { DEFAULT_MAX_LOGS, LogIndex } from "./state/log-index.ts";

// Continuity

export { assessContinuity, type Continuity } from "./state/continuity.ts";
export {
  CONTINUITY_PROOF_SIZE,
  type ContinuityProof,
  decodeContinuityProof,
  encodeContinuityProof,
  MAX_PROOF_SPAN,
  type ProofFault,
  proveContinuity,
  verifyContinuity,
} from "./state/continuity-proof.ts";
export {
  decodeForkRecord,
  encodeForkRecord,
  FORK_RECORD_SIZE,
  type ForkRecord,
  forkRecord,
  forkSentinel,
  isConsistentFork,
} from "./state/fork-record.ts";

// Snapshots

export { DEFAULT_MAX_ENTITIES, NewestSnapshots } from "./state/newest-snapshots.ts";
export {
  decodeSnapshot,
  encodeSnapshot,
  MAX_TRANSFER_SNAPSHOT_SIZE,
  MIN_SNAPSHOT_SIZE,
  openSnapshotIdentity,
  type StateSnapshot,
  sealSnapshot,
  snapshotSize,
} from "./state/snapshot.ts";
export { StateError, type StateErrorCode } from "./state/state-error.ts";
export {
  encodeSubscriptions,
  MAX_SUBSCRIPTIONS,
  type Subscription,
  SubscriptionLedger,
} from "./state/subscription-ledger.ts";

// Durability

export { MemorySnapshotStore, type MemorySnapshotStoreOptions } from "./durability/memory-snapshot-store.ts";
export {
  DEFAULT_MAX_CONCURRENT_SNAPSHOTS,
  type KeeperEvent,
  type RestoreOptions,
  type RestoreReport,
  SnapshotKeeper,
  type SnapshotKeeperOptions,
  type SnapshotKeeperStats,
} from "./durability/snapshot-keeper.ts";
export {
  MAX_KIND_LENGTH,
  MAX_MARKER_NAME_LENGTH,
  MAX_MARKER_SIZE,
  type SnapshotStore,
  SnapshotStoreError,
  type SnapshotStoreErrorCode,
  type SnapshotSummary,
  type StoredSnapshot,
} from "./durability/snapshot-store.ts";

// Daemons

export {
  type CapabilityFilter,
  matchesFilter,
  type NodeCapabilities,
  type NodeGpu,
  type NodeModel,
} from "./capability-filter.ts";
export {
  type Awaitable,
  type ControlEvent,
  type Daemon,
  type DaemonCall,
  type DaemonHealth,
  type DaemonOutput,
  hasDeltas,
  isStateful,
  type StateDelta,
} from "./daemon.ts";
export {
  DaemonHost,
  type DaemonHostConfig,
  type DaemonHostOptions,
  type DaemonStats,
  DEFAULT_CALL_TIMEOUT_MS,
  DEFAULT_MAX_PENDING,
  type DeliveryGate,
  type HeldDaemon,
} from "./daemon-host.ts";
export {
  CoreDaemonError,
  type CoreErrorReason,
  DaemonError,
  type DaemonErrorCode,
  type DaemonErrorDetails,
  type GroupErrorCode,
  type MigrationErrorCode,
} from "./errors.ts";
export { type DaemonTime, platformTime } from "./time.ts";

// Migration

export { MAX_MIGRATIONS } from "./migration/conductor.ts";
export { MAX_MOVED, MOVED_MEMORY_MS } from "./migration/departures.ts";
export {
  type BufferLimits,
  bufferedEventMessages,
  EventBuffer,
  MAX_BUFFERED_BYTES,
  MAX_BUFFERED_EVENTS,
  renumbered,
} from "./migration/event-buffer.ts";
export {
  describeFailure,
  type FailureReason,
  MigrationError,
  type MigrationErrorDetails,
} from "./migration/failure-reason.ts";
export { MAX_HANDOVER_PART_SIZE } from "./migration/handover/handover-arrivals.ts";
export { MAX_HANDOVER_SNAPSHOT_SIZE } from "./migration/handover/handover-stream.ts";
export { type HandoverStore, VolatileHandoverStore } from "./migration/handover-store.ts";
export type { HeldBackDaemon } from "./migration/held-back.ts";
export {
  decodeMigrationMessage,
  encodeMigrationMessage,
  MAX_BUFFERED_PAYLOAD_SIZE,
  MAX_EVENTS_PER_MESSAGE,
  MAX_MIGRATION_MESSAGE_SIZE,
  MAX_SNAPSHOT_CHUNKS,
  type MigrationMessage,
  SNAPSHOT_CHUNK_SIZE,
  type SnapshotReady,
} from "./migration/messages.ts";
export {
  type LiveCopy,
  Migration,
  type MigrationOutcome,
  type MigrationOwner,
} from "./migration/migration.ts";
export { Migrator } from "./migration/migrator.ts";
export {
  DEFAULT_PHASE_TIMEOUT_MS,
  DEFAULT_RETRY_NOT_READY_MS,
  type MigrationEvent,
  type MigrationOptions,
  type MigrationSummary,
  type MigratorOptions,
  type MigratorStats,
  type TakeSnapshotRequest,
} from "./migration/migrator-options.ts";
export { type AddressedMessage, MigrationOrchestrator, MigrationRecord } from "./migration/orchestrator.ts";
export { MIGRATION_PHASES, type MigrationPhase } from "./migration/phases.ts";
export { chunkCount, snapshotChunk } from "./migration/snapshot-chunks.ts";
export {
  type ChunkFault,
  type ChunkResult,
  MAX_PARTIAL_BYTES,
  MAX_PARTIALS,
  MAX_PARTIALS_PER_PEER,
  PARTIAL_SNAPSHOT_MAX_AGE_MS,
  type ReassemblerLimits,
  SnapshotReassembler,
} from "./migration/snapshot-reassembler.ts";
export { MigrationSource, type MigrationSourceOptions, type SourceRecord } from "./migration/source.ts";
export { type Superposition, superpositionOf } from "./migration/superposition.ts";
export {
  type CompletedArrival,
  MAX_COMPLETED_ARRIVALS,
  MigrationTarget,
  type MigrationTargetOptions,
  type TargetRecord,
} from "./migration/target.ts";

// Registries and runtime

export {
  type ConstructionLimits,
  constructDaemon,
  type DaemonContext,
  type DaemonFactory,
} from "./daemon-factory.ts";
export { DaemonRegistry, type DaemonRegistryOptions, type RegistryEvent } from "./daemon-registry.ts";
export {
  type ArrivalRule,
  type FactoryEntry,
  type FactoryPlan,
  FactoryRegistry,
} from "./factory-registry.ts";
export { DaemonHandle } from "./runtime/daemon-handle.ts";
export {
  DaemonRuntime,
  type DaemonRuntimeOptions,
  DEFAULT_GRACE_MS,
  type DeliveryObserver,
  type ExpectedDaemon,
  type RuntimeState,
  type SpawnOptions,
} from "./runtime/daemon-runtime.ts";
export type {
  ByteStream,
  ChannelMembership,
  PeerMessageHandler,
  PeerNetwork,
  PreparedChannel,
  RuntimeParts,
  RuntimePeers,
} from "./runtime/peer-network.ts";

// Placement

export type { PlacementCandidate, PlacementDirectory, PlacementScore } from "./placement/candidate.ts";
export {
  type PlacementIntent,
  type PlacementRequirement,
  type PlacementResource,
  requirementScore,
  type StandardPlacementAxes,
  standardPlacement,
} from "./placement/placement-score.ts";
export {
  type DaemonRequirements,
  MIGRATION_TARGET_TAG,
  type PlacementDecision,
  type PlacementReason,
  Scheduler,
} from "./placement/scheduler.ts";

// Groups

export { DaemonGroup, type GroupConfig, MAX_RECOVERIES_PER_TICK } from "./groups/daemon-group.ts";
export { DEFAULT_MAX_BACKLOG } from "./groups/event-backlog.ts";
export { ForkGroup, type ForkGroupConfig } from "./groups/fork-group.ts";
export { GroupError } from "./groups/group-error.ts";
export type { SpreadOptions } from "./groups/group-members.ts";
export type { MemberAddress, MemberPlan, RemoteMembers, RuntimePlacement } from "./groups/member-hosting.ts";
export { GROUP_SEED_SIZE, MAX_GROUP_MEMBERS, replicaGroupId, replicaIdentity } from "./groups/member-keys.ts";
export type { GroupHealth, MemberInfo } from "./groups/member-roster.ts";
export type { MemberLoad, RouteContext, RoutingStrategy } from "./groups/member-router.ts";
export {
  type HostedMember,
  MAX_HOSTED_MEMBERS,
  MAX_MEMBERS_PER_NODE,
  MemberHost,
  type MemberHostOptions,
} from "./groups/remote/member-host.ts";
export { MemberLinks, type MemberLinksOptions } from "./groups/remote/member-links.ts";
export type { MemberNetwork } from "./groups/remote/member-network.ts";
export { ReplicaGroup, type ReplicaGroupConfig } from "./groups/replica-group.ts";
export { ScalableGroup } from "./groups/scalable-group.ts";
export {
  type PromotionChain,
  StandbyGroup,
  type StandbyGroupConfig,
  type StandbyMemberInfo,
} from "./groups/standby-group.ts";
