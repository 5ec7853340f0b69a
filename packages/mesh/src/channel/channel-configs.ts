import { ED25519_PUBLIC_KEY_SIZE } from "@netmesh/crypto";
import { assertChannelName, copyBytes, isChannelName } from "@netmesh/wire";
import { type CapabilityFilter, requireKnownFields } from "../capability/capability-filter.ts";
import { MeshError } from "../errors.ts";
import { CHANNEL_VISIBILITIES, type ChannelVisibility } from "../subnet/visibility.ts";

/** What a publisher lays down for a channel, or for all channels whose names begin alike. */
export interface ChannelConfig {
  /** The channel's name; with `isPrefix` the text that names begin with, which may end with `/`. */
  readonly name: string;
  /** Whether it holds for every name that begins with `name`, letter by letter; default false. */
  readonly isPrefix?: boolean;
  /** Default `"global"`. */
  readonly visibility?: ChannelVisibility;
  /** What this node has to announce in order to publish. */
  readonly publishCaps?: CapabilityFilter;
  /** What a subscriber has to announce. */
  readonly subscribeCaps?: CapabilityFilter;
  /** Whether subscribers, and this node itself, need a token. Without `tokenRoots` nobody has a good one. */
  readonly requireToken?: boolean;
  /** Entity ids, 32 bytes each, of those whose tokens count; any makes a token required. Copied. */
  readonly tokenRoots?: readonly Uint8Array[];
  /** Whether publishing is reliable unless a call says otherwise; default false. */
  readonly reliable?: boolean;
}

/** A {@link ChannelConfig} with its defaults. */
export interface ResolvedChannelConfig {
  readonly name: string;
  readonly visibility: ChannelVisibility;
  readonly publishCaps: CapabilityFilter | undefined;
  readonly subscribeCaps: CapabilityFilter | undefined;
  readonly needsToken: boolean;
  readonly tokenRoots: readonly Uint8Array[];
  readonly reliable: boolean;
}

const FIELDS: ReadonlySet<string> = new Set<keyof ChannelConfig>([
  "name",
  "isPrefix",
  "visibility",
  "publishCaps",
  "subscribeCaps",
  "requireToken",
  "tokenRoots",
  "reliable",
]);

/** The channels that a publisher has laid something down for (spec/mesh.md §12.4, step 4). */
export class ChannelConfigs {
  readonly #exact = new Map<string, ResolvedChannelConfig>();
  /** Longest first. */
  #prefixes: ResolvedChannelConfig[] = [];
  /** Changes with every registration. */
  revision = 0;

  /** Channels and prefixes that are registered. As long as there are none, every channel is open to all. */
  get size(): number {
    return this.#exact.size + this.#prefixes.length;
  }

  /** Adds a configuration, or replaces the one of that name. Throws `invalid-channel-name`, `invalid-argument`. */
  register(config: ChannelConfig): void {
    const resolved = resolve(config);
    this.revision++;
    if (config.isPrefix !== true) {
      this.#exact.set(resolved.name, resolved);
      return;
    }
    this.#prefixes = this.#prefixes.filter(({ name }) => name !== resolved.name);
    this.#prefixes.push(resolved);
    this.#prefixes.sort((a, b) => b.name.length - a.name.length);
  }

  /** Takes {@link register} back; false when there was nothing. */
  unregister(name: string, isPrefix = false): boolean {
    const before = this.size;
    if (isPrefix) this.#prefixes = this.#prefixes.filter((config) => config.name !== name);
    else this.#exact.delete(name);
    if (this.size === before) return false;
    this.revision++;
    return true;
  }

  /** What holds for a channel: the configuration of its name, else that of the longest prefix. */
  find(name: string): ResolvedChannelConfig | undefined {
    return this.#exact.get(name) ?? this.#prefixes.find((prefix) => name.startsWith(prefix.name));
  }
}

function resolve(config: ChannelConfig): ResolvedChannelConfig {
  for (const field of Object.keys(config)) {
    if (!FIELDS.has(field)) {
      throw new MeshError("invalid-argument", `a channel has no option ${JSON.stringify(field)}`);
    }
  }
  const { name, visibility = "global", publishCaps, subscribeCaps, tokenRoots = [] } = config;
  if (config.isPrefix !== true || !isChannelName(name.replace(/\/$/, ""))) assertChannelName(name);
  if (!CHANNEL_VISIBILITIES.has(visibility)) {
    throw new MeshError("invalid-argument", `unknown visibility ${JSON.stringify(visibility)}`);
  }
  if (!tokenRoots.every((root) => root instanceof Uint8Array && root.length === ED25519_PUBLIC_KEY_SIZE)) {
    throw new MeshError(
      "invalid-argument",
      "a token root is an entity id of 32 bytes",
      ED25519_PUBLIC_KEY_SIZE,
    );
  }
  if (publishCaps !== undefined) requireKnownFields(publishCaps);
  if (subscribeCaps !== undefined) requireKnownFields(subscribeCaps);
  return {
    name,
    visibility,
    publishCaps,
    subscribeCaps,
    needsToken: config.requireToken === true || tokenRoots.length > 0,
    tokenRoots: tokenRoots.map((root) => copyBytes(root)),
    reliable: config.reliable ?? false,
  };
}
