import type { Identity } from "@netmesh/crypto";
import type {
  ChannelLimits,
  CoreOptions,
  StreamOptions as EngineStreamOptions,
  RekeyLimits,
  RelayPolicy,
  SecurityMode,
  SubnetRule,
  Transport,
} from "@netmesh/mesh";
import { subnetId } from "@netmesh/mesh";
import type { TransportOptions } from "@netmesh/transport-udp";
import { InvalidArgumentError } from "./errors.ts";
import type { NatOptions } from "./mesh-nat.ts";
import type { PortMappingOptions } from "./port-mapping.ts";

/** An implementation of ChaCha20-Poly1305. */
export type AeadName = "wasm" | "noble" | "native";

/** What one has to know of a node to connect to it. */
export interface PeerContact {
  readonly nodeId: bigint;
  /** Its Noise public key, 32 bytes. */
  readonly publicKey: Uint8Array;
}

/** Settings of a {@link Mesh}. */
export interface MeshOptions {
  /** Local address; port 0 takes a free one. Default `"0.0.0.0:0"`. */
  readonly bind?: string;
  /** Key that every node of the mesh holds, 32 bytes; copied. */
  readonly psk: Uint8Array;
  /** Default: a fresh one, so that the node id changes with every start. */
  readonly identity?: Identity;
  /** Private Noise key, 32 bytes. Default: derived from the identity, so that it stays the same with it. */
  readonly noiseKey?: Uint8Array;
  /** Which unknown nodes may connect: all that hold the PSK (default), or those that the function admits. */
  readonly acceptPeers?: "any" | ((peer: { readonly nodeId: bigint; readonly address: string }) => boolean);
  /**
   * Whether sessions have to be forward secret, so that nobody but the two ends can compute their keys, whatever was
   * recorded. `"prefer"` (default): with every peer that can, which every netmesh node does unless told otherwise;
   * `"require"`: other peers are refused; `"interop"`: never, as nodes of Net 0.27.
   */
  readonly security?: SecurityMode;
  /**
   * When forward-secret sessions get new keys: after so many packets or bytes in one direction, or milliseconds. Default
   * 2^20 packets, 2^30 bytes, 600 000 ms. Who steals keys from memory reads no packet sealed with earlier ones.
   */
  readonly rekey?: Partial<RekeyLimits>;
  /** Whose packets this node forwards; default `"peers"`. */
  readonly relay?: RelayPolicy;
  /** Tries every own key on every forwarded packet and counts which open it (`relayOpened`); default false. */
  readonly auditRelay?: boolean;
  /**
   * Pause between heartbeats on links that nobody uses; default 5000. Paths in use are asked for a sign of life every 300 ms, or
   * as often as heartbeats come when that is more often: a relay that dies is replaced after about 2.5 of these.
   */
  readonly heartbeatMs?: number;
  /** Relays over which others discover this node, 0 to 15; default 3. */
  readonly discoveryHops?: number;
  /** Silence after which a peer counts as lost and its streams fail; default 30 000. */
  readonly sessionTimeoutMs?: number;
  /** Time for one of three handshake attempts; default 5000. */
  readonly handshakeTimeoutMs?: number;
  /** Streams per peer; default 4096. */
  readonly maxStreams?: number;
  /** Peers at once; default 16 384. */
  readonly maxPeers?: number;
  /**
   * Size of the datagrams sent, 256 to 8192, whatever the path: where it carries less they are lost, or, with the portable
   * socket and with `socket: { fragments: true }`, cut into IP fragments by the system. Default: 8192 on loopback; elsewhere 1200 at first, and with nodes of netmesh what
   * probes find to pass. It bounds the events that can be written, too.
   */
  readonly datagramBytes?: number;
  /** Limits and pauses of channels: how long a publisher is waited for, how often tokens are looked at, and so on. */
  readonly channels?: Partial<ChannelLimits>;
  /**
   * This node's subnet: one to four levels of 0 to 255, `[0]` for the global one. Default: what `subnetPolicy` makes of its own
   * tags, without a policy the global one.
   */
  readonly subnet?: readonly number[];
  /** Assigns nodes to subnets by the tags they announce; by it channels are local to a subnet, or visible upwards. */
  readonly subnetPolicy?: readonly SubnetRule[];
  /** Received bytes that may wait for the application per stream; default 4 MiB. */
  readonly receiveBufferBytes?: number;
  /**
   * What seals packets: `"wasm"` (WebAssembly with SIMD), `"noble"` (plain TypeScript) or `"native"` (OpenSSL for large
   * packets, where the package koffi is installed; libsodium with sodium-native). Default `"wasm"` where it runs, else `"noble"`.
   */
  readonly aead?: AeadName;
  /**
   * Settings of the UDP socket; `mode` chooses between many datagrams per system call (Linux, with the package koffi) and
   * `node:dgram`, and is the best that runs by default.
   */
  readonly socket?: Omit<TransportOptions, "memory">;
  /**
   * How the mesh finds ways past NATs, which it does by itself: it learns from its peers how it is seen, announces that, introduces
   * peers to each other, and moves sessions from relays to direct paths. `false` switches all of that off.
   */
  readonly nat?: NatOptions | false;
  /**
   * Whether the router is asked for a port that leads here, by PCP, NAT-PMP or UPnP, in the background; taken back on shutdown. It changes
   * something on a device of the operator, and needs `nat`. Default false; an object tells whom to ask, and how often.
   */
  readonly portMapping?: boolean | PortMappingOptions;
  /** Another way to move datagrams; `bind` and `socket` are then ignored. Closed with the mesh. */
  readonly transport?: Transport;
}

/** Settings of one stream. */
export interface StreamOptions extends EngineStreamOptions {
  /** Any 64-bit number; both sides use the same. */
  readonly streamId: bigint;
}

type CoreSettings = Pick<
  CoreOptions,
  | "security"
  | "rekey"
  | "relay"
  | "auditRelay"
  | "heartbeatMs"
  | "discoveryHops"
  | "sessionTimeoutMs"
  | "handshakeTimeoutMs"
  | "maxStreams"
  | "maxPeers"
  | "datagramBytes"
  | "receiveBufferBytes"
  | "channels"
  | "subnet"
  | "subnetPolicy"
>;

/** Throws `invalid-argument`. */
function ownSubnet(levels: readonly number[]): number {
  if (!Array.isArray(levels) || levels.length === 0) {
    throw new InvalidArgumentError("invalid-argument", "subnet must have one to four levels");
  }
  return subnetId(...levels);
}

/** The options that the engine takes as they are, without those that were not given. */
export function coreSettings(options: MeshOptions): CoreSettings {
  const { relay, heartbeatMs, sessionTimeoutMs, handshakeTimeoutMs, maxStreams, maxPeers } = options;
  const {
    discoveryHops,
    auditRelay,
    datagramBytes,
    receiveBufferBytes,
    security,
    rekey,
    channels,
    subnetPolicy,
  } = options;
  const given = {
    security,
    rekey,
    relay,
    auditRelay,
    heartbeatMs,
    discoveryHops,
    sessionTimeoutMs,
    handshakeTimeoutMs,
    maxStreams,
    maxPeers,
    datagramBytes,
    receiveBufferBytes,
    channels,
    subnet: options.subnet === undefined ? undefined : ownSubnet(options.subnet),
    subnetPolicy,
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
