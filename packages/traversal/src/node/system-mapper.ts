import { type PortMappingCounters, portMappingCounters } from "../port-mapping/counters.ts";
import { GatewayMapper, type GatewayVariant } from "../port-mapping/gateway-mapper.ts";
import { parseIpv4 } from "../port-mapping/ipv4.ts";
import type {
  CallOptions,
  GatewayNotice,
  PortMapperClient,
  PortMapping,
} from "../port-mapping/port-mapping.ts";
import { PortMappingError } from "../port-mapping/port-mapping-error.ts";
import { SequentialMapper } from "../port-mapping/sequential-mapper.ts";
import { UpnpMapper } from "../port-mapping/upnp/upnp-mapper.ts";
import type { RandomSource } from "../random-source.ts";
import { defaultGateway } from "./default-gateway.ts";
import { deviceHttp } from "./device-http.ts";
import { gatewaySockets } from "./gateway-sockets.ts";
import { noticeSocket } from "./notice-socket.ts";
import { searchSockets } from "./search-sockets.ts";
import { systemTimers } from "./system-timers.ts";

/** Choices of a {@link SystemMapper}. */
export interface SystemMapperOptions {
  /** IPv4 address of the router; found in the routes of the system unless told. */
  readonly gateway?: string;
  /** What may be spoken. Default all three, in this order. */
  readonly protocols?: readonly (GatewayVariant | "upnp")[];
  /** What the router shows to its owner. Default `netmesh`. */
  readonly description?: string;
  /** Also takes external addresses that nobody outside can reach. For laboratories; default false. */
  readonly allowPrivateExternal?: boolean;
  /** Counts into these. */
  readonly counters?: PortMappingCounters;
}

/** Unpredictable bytes of the platform. */
const platformRandom: RandomSource = {
  fill: (bytes) => {
    crypto.getRandomValues(bytes);
  },
};

/** All three protocols on the router that the system uses; every probe looks anew which one that is. */
export class SystemMapper implements PortMapperClient {
  /** What was refused, and more. */
  readonly counters: PortMappingCounters;
  readonly #options: SystemMapperOptions;
  #gatewayMapper: GatewayMapper | undefined;
  #mapper: SequentialMapper | undefined;

  /** @throws {PortMappingError} `transport` when `gateway` is not an IPv4 address. */
  constructor(options: SystemMapperOptions = {}) {
    if (options.gateway !== undefined && parseIpv4(options.gateway) === undefined) {
      throw new PortMappingError("transport", `gateway ${options.gateway}`);
    }
    this.#options = options;
    this.counters = options.counters ?? portMappingCounters();
  }

  /** Which protocol the gateway itself speaks, when it speaks one. */
  get variant(): GatewayVariant | undefined {
    return this.#gatewayMapper?.variant;
  }

  async probe(options: CallOptions = {}): Promise<void> {
    const {
      protocols = ["pcp", "nat-pmp", "upnp"],
      description,
      allowPrivateExternal = false,
    } = this.#options;
    const gateway = this.#options.gateway ?? (await defaultGateway(process.platform, options.signal));
    const shared = {
      timers: systemTimers,
      random: platformRandom,
      counters: this.counters,
      allowPrivateExternal,
    };
    const variants = protocols.filter((protocol) => protocol !== "upnp");
    this.#gatewayMapper =
      gateway !== undefined && variants.length > 0
        ? new GatewayMapper({ ...shared, gateway, variants, channels: gatewaySockets, notices: noticeSocket })
        : undefined;
    const search = protocols.includes("upnp") ? searchSockets : { open: async () => [] };
    const upnp = new UpnpMapper({
      ...shared,
      gateway,
      search,
      http: deviceHttp,
      ...(description === undefined ? {} : { description }),
    });
    this.#mapper = new SequentialMapper(this.#gatewayMapper, upnp);
    await this.#mapper.probe(options);
  }

  async install(internalPort: number, ttlMs: number, options: CallOptions = {}): Promise<PortMapping> {
    return await this.#probed().install(internalPort, ttlMs, options);
  }

  async renew(mapping: PortMapping, options: CallOptions = {}): Promise<PortMapping> {
    return await this.#probed().renew(mapping, options);
  }

  async remove(mapping: PortMapping, options: CallOptions = {}): Promise<void> {
    await this.#mapper?.remove(mapping, options);
  }

  watch(onNotice: (notice: GatewayNotice) => void): () => void {
    return this.#mapper?.watch(onNotice) ?? (() => {});
  }

  #probed(): SequentialMapper {
    if (this.#mapper === undefined) throw new PortMappingError("unavailable");
    return this.#mapper;
  }
}
