import {
  type AeadProvider,
  aeadProvider,
  Identity,
  type RandomSource,
  type StaticKeyPair,
} from "@netmesh/crypto";
import {
  copyBytes,
  MAX_PACKET_SIZE,
  MAX_PINGWAVE_HOPS,
  PeerFeature,
  PINGWAVE_TTL,
  type SocketAddress,
} from "@netmesh/wire";
import { type ChannelLimits, resolveChannelLimits } from "../channel/channel-limits.ts";
import type { Clock } from "../clock.ts";
import { MeshError } from "../errors.ts";
import { agreedFeatures, type SecurityMode } from "../handshake/security.ts";
import { type RekeyLimits, resolveRekeyLimits } from "../rekey/rekey-limits.ts";
import { requireSubnetId, type SubnetId } from "../subnet/subnet-id.ts";
import { SubnetPolicy, type SubnetRule } from "../subnet/subnet-policy.ts";

/** Who may use this node as a relay. */
export type RelayPolicy = "peers" | "anyone" | "off";

/** A key that signs for a node. */
export interface Signer {
  /** The Ed25519 public key, 32 bytes. */
  readonly entityId: Uint8Array;
  /** The 64-byte signature of a message. */
  sign(message: Uint8Array): Uint8Array;
}

/** Settings of a core. */
export interface CoreOptions {
  /** This node's id. */
  readonly nodeId: bigint;
  /** Key that every node of the mesh holds; 32 bytes, copied. */
  readonly psk: Uint8Array;
  /** This node's Noise key pair. */
  readonly staticKeyPair: StaticKeyPair;
  readonly clock: Clock;
  /** Unix time in milliseconds; default the monotonic clock, which dates announcements to the beginning of 1970. */
  readonly systemTime?: Clock;
  /** Signs what this node announces of itself; its node id has to be `nodeId`. Without it nothing can be signed. */
  readonly identity?: Signer;
  /** Whether announcements of capabilities have to be signed; default true. */
  readonly requireSignedCapabilities?: boolean;
  /** Pause between two broadcasts of this node's capabilities; the last state within it is sent at its end. Default 10 000. */
  readonly minAnnounceIntervalMs?: number;
  /** Nodes whose capabilities are remembered; default 65 536. */
  readonly maxIndexedNodes?: number;
  readonly random: RandomSource;
  /** What seals and opens packets; default the best one that runs here. */
  readonly aead?: AeadProvider;
  /** Pause between heartbeats; default 5000. */
  readonly heartbeatMs?: number;
  /**
   * Relays over which this node is discovered: its pingwaves pass so many. 0 to 15; default 3. Packets pass 8. What it announces of
   * its capabilities is heard over 15 in any case, and shows the way, too.
   */
  readonly discoveryHops?: number;
  /**
   * Nodes whose pingwaves and announcements are passed on to netmesh peers, the nearest; those of neighbours always are. 1 to
   * 65 536; default 256. Nodes beyond are found when they are looked for.
   */
  readonly floodNodes?: number;
  /** Silence after which a peer counts as lost; longer than the heartbeat. Default 30 000. */
  readonly sessionTimeoutMs?: number;
  /** Time for one handshake attempt; default 5000. */
  readonly handshakeTimeoutMs?: number;
  /** Handshake attempts in all; default 3. */
  readonly handshakeAttempts?: number;
  /** Peers at once; default 16 384. */
  readonly maxPeers?: number;
  /** Streams per session; default 4096. */
  readonly maxStreams?: number;
  /** Idle streams that nobody has opened are dropped after this; default 300 000. */
  readonly streamIdleTimeoutMs?: number;
  /** Streams that a peer creates are reliable even when their packets do not say so; default false. */
  readonly defaultReliable?: boolean;
  /**
   * How long a reliable stream repairs losses without a word of the receiver, and how long a receiver waits for a
   * repair while other packets arrive; default 10 000, at most the session time-out.
   */
  readonly repairBudgetMs?: number;
  /** Received bytes that may wait for the application on one stream; default 4 MiB. */
  readonly receiveBufferBytes?: number;
  /** Whose packets are forwarded; default `"peers"`. */
  readonly relay?: RelayPolicy;
  /**
   * Tries every key of this node on a copy of every packet that it forwards, and counts which open: evidence that none
   * does. Costs one decryption per session and packet; default false.
   */
  readonly auditRelay?: boolean;
  /**
   * Size of the datagrams sent to an address, 256 to 8192; a function's answer is brought into that range, and asked for
   * again when a session's path changes. Default: 8192 on loopback; elsewhere 1200, and what probes find to pass with
   * peers that answer them.
   */
  readonly datagramBytes?: number | ((address: SocketAddress) => number);
  /** Whether the system may cut outgoing datagrams into IP fragments; default true. {@link MeshNode} asks its transport. */
  readonly fragments?: boolean;
  /** Which unknown nodes may connect; default all that hold the PSK. */
  readonly acceptPeers?: (nodeId: bigint, address: SocketAddress) => boolean;
  /**
   * Handshake messages worked on per second: of one node at one address, and in all; an address has the share of four
   * nodes. Applies to each class by itself: messages without a stamp, of members, of members that have proven their
   * address. Default 32 and 256.
   */
  readonly handshakesPerSecond?: { readonly perSource: number; readonly total: number };
  /**
   * Bits of `PeerFeature` that this node announces and uses; default all. An interop setting: 0 makes it behave as a
   * node of the reference does, towards every peer.
   */
  readonly features?: number;
  /**
   * Whether sessions have to be forward secret; default `"prefer"`. `"require"` needs that feature, `"interop"` takes it
   * out of `features`.
   */
  readonly security?: SecurityMode;
  /** When the keys of forward-secret sessions are renewed, with peers that do so too. */
  readonly rekey?: Partial<RekeyLimits>;
  /** Limits and pauses of channels. */
  readonly channels?: Partial<ChannelLimits>;
  /** This node's subnet; default what `subnetPolicy` makes of its own tags, and without one the global subnet. */
  readonly subnet?: SubnetId;
  /** Assigns nodes to subnets by what they announce. */
  readonly subnetPolicy?: readonly SubnetRule[];
}

/** {@link CoreOptions} with every default applied. */
export type CoreConfig = Required<
  Omit<CoreOptions, "datagramBytes" | "identity" | "subnet" | "subnetPolicy">
> & {
  readonly identity: Signer | undefined;
  /** Size of the datagrams sent to an address; undefined where it has to be found out. */
  readonly fixedDatagramBytes: (address: SocketAddress) => number | undefined;
  readonly rekey: RekeyLimits;
  readonly channels: ChannelLimits;
  readonly subnet: SubnetId | undefined;
  readonly subnetPolicy: SubnetPolicy | undefined;
};

/** What this implementation can do beyond the reference. */
export const OWN_FEATURES: number =
  PeerFeature.ROUTED_HEARTBEAT |
  PeerFeature.SELECTIVE_REPAIR |
  PeerFeature.STREAM_FIN |
  PeerFeature.FORWARD_SECRET |
  PeerFeature.REKEY |
  PeerFeature.PATH_MTU |
  PeerFeature.IDENTITY |
  PeerFeature.LIVENESS |
  PeerFeature.SCOPED_FLOODS;

const SMALLEST_DATAGRAM_BYTES = 256;

/** Checks options and fills in defaults; throws {@link MeshError} `config`. */
export function resolveCoreOptions(options: CoreOptions): CoreConfig {
  const heartbeatMs = duration("heartbeatMs", options.heartbeatMs ?? 5_000, 10);
  const sessionTimeoutMs = duration("sessionTimeoutMs", options.sessionTimeoutMs ?? 30_000, 20);
  if (sessionTimeoutMs <= heartbeatMs) {
    throw new MeshError("config", "sessionTimeoutMs must exceed heartbeatMs");
  }
  if (options.psk.length !== 32) throw new MeshError("config", "psk must have 32 bytes", 32);
  const { datagramBytes, ...rest } = options;
  if (
    typeof datagramBytes === "number" &&
    !inRange(datagramBytes, SMALLEST_DATAGRAM_BYTES, MAX_PACKET_SIZE)
  ) {
    throw new MeshError("config", "datagramBytes must be an integer from 256 to 8192", MAX_PACKET_SIZE);
  }
  if (options.subnet !== undefined) requireSubnetId(options.subnet);
  const security = securityMode(options.security ?? "prefer");
  return {
    ...rest,
    psk: copyBytes(options.psk),
    aead: options.aead ?? aeadProvider(),
    systemTime: options.systemTime ?? options.clock,
    identity: ownIdentity(options),
    requireSignedCapabilities: options.requireSignedCapabilities ?? true,
    minAnnounceIntervalMs: duration("minAnnounceIntervalMs", options.minAnnounceIntervalMs ?? 10_000, 0),
    maxIndexedNodes: count("maxIndexedNodes", options.maxIndexedNodes ?? 65_536, 2 ** 20),
    heartbeatMs,
    discoveryHops: discoveryHops(options.discoveryHops ?? PINGWAVE_TTL),
    floodNodes: count("floodNodes", options.floodNodes ?? 256, 65_536),
    sessionTimeoutMs,
    handshakeTimeoutMs: duration("handshakeTimeoutMs", options.handshakeTimeoutMs ?? 5_000, 1),
    handshakeAttempts: count("handshakeAttempts", options.handshakeAttempts ?? 3, 1_024),
    maxPeers: count("maxPeers", options.maxPeers ?? 16_384, 2 ** 24),
    maxStreams: count("maxStreams", options.maxStreams ?? 4_096, 2 ** 20),
    streamIdleTimeoutMs: duration("streamIdleTimeoutMs", options.streamIdleTimeoutMs ?? 300_000, 1),
    defaultReliable: options.defaultReliable ?? false,
    repairBudgetMs: Math.min(
      sessionTimeoutMs,
      duration("repairBudgetMs", options.repairBudgetMs ?? 10_000, 1),
    ),
    receiveBufferBytes: count("receiveBufferBytes", options.receiveBufferBytes ?? 4 * 2 ** 20, 2 ** 32),
    relay: relayPolicy(options.relay ?? "peers"),
    auditRelay: options.auditRelay ?? false,
    fragments: options.fragments ?? true,
    fixedDatagramBytes: fixedDatagramBytes(datagramBytes),
    acceptPeers: options.acceptPeers ?? (() => true),
    handshakesPerSecond: options.handshakesPerSecond ?? { perSource: 32, total: 256 },
    security,
    rekey: resolveRekeyLimits(options.rekey),
    channels: resolveChannelLimits(options.channels),
    subnet: options.subnet,
    subnetPolicy: options.subnetPolicy === undefined ? undefined : new SubnetPolicy(options.subnetPolicy),
    features: ownFeatures(options.features ?? OWN_FEATURES, security, options.identity !== undefined),
  };
}

/** A key of another node would make every announcement a forgery. */
function ownIdentity({ identity, nodeId }: CoreOptions): Signer | undefined {
  if (identity !== undefined && Identity.publicOnly(identity.entityId).nodeId !== nodeId) {
    throw new MeshError("config", "the identity is that of another node");
  }
  return identity;
}

function fixedDatagramBytes(given: CoreOptions["datagramBytes"]): CoreConfig["fixedDatagramBytes"] {
  if (typeof given === "number") return () => given;
  if (given === undefined) return (address) => (address.isLoopback ? MAX_PACKET_SIZE : undefined);
  return (address) => {
    const bytes = Math.trunc(given(address));
    return Math.min(MAX_PACKET_SIZE, Math.max(SMALLEST_DATAGRAM_BYTES, bytes || SMALLEST_DATAGRAM_BYTES));
  };
}

/** An unknown mode must not be taken for a weak one. */
function securityMode(security: SecurityMode): SecurityMode {
  if (security !== "prefer" && security !== "require" && security !== "interop") {
    throw new MeshError("config", 'security must be "prefer", "require" or "interop"');
  }
  return security;
}

function ownFeatures(chosen: number, security: SecurityMode, hasIdentity: boolean): number {
  const { FORWARD_SECRET, REKEY, IDENTITY } = PeerFeature;
  if (security === "require" && (chosen & FORWARD_SECRET) === 0) {
    throw new MeshError("config", 'security "require" needs the feature FORWARD_SECRET', FORWARD_SECRET);
  }
  const weak = security === "interop" ? FORWARD_SECRET | REKEY | IDENTITY : 0;
  const unsigned = hasIdentity ? 0 : IDENTITY;
  return agreedFeatures(chosen, OWN_FEATURES & ~(weak | unsigned));
}

/** An unknown policy must not be taken for an open one. */
function relayPolicy(policy: RelayPolicy): RelayPolicy {
  if (policy !== "peers" && policy !== "anyone" && policy !== "off") {
    throw new MeshError("config", 'relay must be "peers", "anyone" or "off"');
  }
  return policy;
}

function inRange(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}

function discoveryHops(hops: number): number {
  const most = MAX_PINGWAVE_HOPS - 1;
  if (inRange(hops, 0, most)) return hops;
  throw new MeshError("config", `discoveryHops must be an integer from 0 to ${most}`, most);
}

function duration(name: string, value: number, min: number): number {
  if (!(value >= min)) throw new MeshError("config", `${name} must be at least ${min} ms`, min);
  return value;
}

function count(name: string, value: number, max: number): number {
  if (!inRange(value, 1, max))
    throw new MeshError("config", `${name} must be an integer from 1 to ${max}`, max);
  return value;
}
