import type { RandomSource } from "../random-source.ts";
import { checkExternalHost, checkedExternal, type ExternalAddressPolicy } from "./external-address.ts";
import type { NoticeSource } from "./gateway-channel.ts";
import { GatewayEpoch } from "./gateway-epoch.ts";
import { askGateway, GATEWAY_SENDS_MS, type GatewayLink, type GatewayQuestion } from "./gateway-exchange.ts";
import {
  decodeNatPmpAnswer,
  encodeNatPmpAddressRequest,
  encodeNatPmpMapRequest,
  GATEWAY_PORT,
  type NatPmpAddressAnswer,
  type NatPmpMapAnswer,
  NatPmpResult,
  natPmpError,
} from "./nat-pmp.ts";
import {
  answersMap,
  decodePcpAnswer,
  encodePcpAnnounce,
  encodePcpMap,
  PCP_NONCE_SIZE,
  type PcpAnswer,
  type PcpMapRequest,
  PcpOpcode,
  PcpResult,
  pcpError,
} from "./pcp.ts";
import {
  type CallOptions,
  checkedLifetime,
  type GatewayNotice,
  MAPPING_TTL_MS,
  type PortMapperClient,
  type PortMapping,
} from "./port-mapping.ts";
import { PortMappingError } from "./port-mapping-error.ts";

/** Which of the two protocols of port 5351 is spoken. */
export type GatewayVariant = "pcp" | "nat-pmp";

/** What a {@link GatewayMapper} works with. */
export interface GatewayMapperOptions extends GatewayLink {
  /** Cryptographic: the nonce of a mapping must not be guessed. */
  readonly random: RandomSource;
  /** What may be spoken. Default both, PCP where the gateway has it. */
  readonly variants?: readonly GatewayVariant[];
  /** Where notices come from; without one the mapper hears none. */
  readonly notices?: NoticeSource;
  /** Also takes external addresses that nobody outside can reach. For laboratories; default false. */
  readonly allowPrivateExternal?: boolean;
}

/** Wait for the answer to a removal (traversal §13.2). */
const REMOVE_DEADLINE_MS = 200;

/** Wished for when nothing is. */
const ANY_HOST = "0.0.0.0";

/** Where the port of an external mapping is unknown or of no interest. */
interface Wish {
  readonly port: number;
  readonly host: string;
}

/** PCP (RFC 6887), or NAT-PMP (RFC 6886) where the gateway speaks no other (traversal §13, §14). */
export class GatewayMapper implements PortMapperClient {
  readonly #options: GatewayMapperOptions;
  readonly #policy: ExternalAddressPolicy;
  /** One for both protocols: a gateway that speaks both has one table, and one start. */
  readonly #epoch = new GatewayEpoch();
  /** By internal port; an entry lives from the install to the removal of a mapping. Fed by our own calls only. */
  readonly #nonces = new Map<number, Uint8Array>();
  #variant: GatewayVariant | undefined;
  /** The last one that the gateway told; of NAT-PMP from its own answer, of PCP from the mapping's. */
  #externalHost: string | undefined;

  constructor(options: GatewayMapperOptions) {
    this.#options = options;
    this.#policy = { allowPrivate: options.allowPrivateExternal ?? false, counters: options.counters };
  }

  /** What the last successful probe found. */
  get variant(): GatewayVariant | undefined {
    return this.#variant;
  }

  /** The external address that the gateway told last. */
  get externalHost(): string | undefined {
    return this.#externalHost;
  }

  async probe(options: CallOptions = {}): Promise<void> {
    this.#variant = undefined;
    this.#externalHost = undefined;
    const found = await askGateway(this.#options, this.#probeQuestion(), options.signal);
    if (found !== "pcp") this.#externalHost = this.#checkedHost(found.externalHost);
    this.#variant = found === "pcp" ? "pcp" : "nat-pmp";
  }

  async install(internalPort: number, ttlMs: number, options: CallOptions = {}): Promise<PortMapping> {
    const lifetime = checkedLifetime(internalPort, ttlMs);
    const wish = { port: internalPort, host: ANY_HOST };
    if (this.#variant !== "pcp")
      return this.#installNatPmp(internalPort, wish, lifetime, options.signal, true);
    try {
      return await this.#installPcp(internalPort, wish, lifetime, options.signal, true);
    } catch (error) {
      if (!speaksNoPcp(error) || !this.#may("nat-pmp")) throw error;
      const answer = await askGateway(this.#options, this.#addressQuestion(), options.signal);
      this.#externalHost = this.#checkedHost(answer.externalHost);
      this.#variant = "nat-pmp";
      return this.#installNatPmp(internalPort, wish, lifetime, options.signal, true);
    }
  }

  async renew(mapping: PortMapping, options: CallOptions = {}): Promise<PortMapping> {
    const { internalPort, external } = mapping;
    const lifetime = checkedLifetime(internalPort, MAPPING_TTL_MS);
    const wish = { port: external.port, host: external.host };
    if (this.#variant === "pcp") return this.#installPcp(internalPort, wish, lifetime, options.signal, false);
    const answer = await askGateway(this.#options, this.#addressQuestion(), options.signal);
    this.#externalHost = this.#checkedHost(answer.externalHost);
    return this.#installNatPmp(internalPort, wish, lifetime, options.signal, false);
  }

  async remove(mapping: PortMapping, options: CallOptions = {}): Promise<void> {
    await this.#delete(mapping.internalPort, options.signal);
  }

  watch(onNotice: (notice: GatewayNotice) => void): () => void {
    const { notices, gateway, counters } = this.#options;
    if (notices === undefined) return () => {};
    return notices.listen((bytes, host, port) => {
      if (host !== gateway || port !== GATEWAY_PORT) {
        counters.refusedNotices += 1;
        return;
      }
      const notice = this.#noticeIn(bytes);
      if (notice === "unreadable") counters.refusedNotices += 1;
      else if (notice === undefined) counters.repeatedNotices += 1;
      else onNotice(notice);
    });
  }

  #noticeIn(bytes: Uint8Array): GatewayNotice | "unreadable" | undefined {
    const announced = decodePcpAnswer(bytes);
    if (announced !== undefined) {
      if (announced.opcode !== PcpOpcode.announce || announced.result !== PcpResult.success)
        return "unreadable";
      return this.#follows("pcp", announced.epochSeconds) ? undefined : "restarted";
    }
    const answer = decodeNatPmpAnswer(bytes);
    if (answer?.kind !== "address") return "unreadable";
    if (!this.#follows("nat-pmp", answer.epochSeconds)) return "restarted";
    if (answer.result !== 0 || answer.externalHost === this.#externalHost) return undefined;
    return "address-changed";
  }

  #probeQuestion(): GatewayQuestion<"pcp" | NatPmpAddressAnswer> {
    const addressRequest = encodeNatPmpAddressRequest();
    const none = (variant: GatewayVariant): PortMappingError | undefined =>
      this.#may(variant) ? undefined : new PortMappingError("unavailable");
    let asked = !this.#may("nat-pmp");
    let noPcp = none("pcp");
    let noNatPmp = none("nat-pmp");
    return {
      requests: (localHost) => {
        if (!this.#may("pcp")) return repeated(addressRequest);
        const announce = encodePcpAnnounce(localHost);
        if (!this.#may("nat-pmp")) return repeated(announce);
        return [
          { atMs: 0, bytes: announce },
          { atMs: 250, bytes: addressRequest },
          { atMs: 750, bytes: announce },
          { atMs: 750, bytes: addressRequest },
        ];
      },
      answer: (bytes, send) => {
        const announced = decodePcpAnswer(bytes);
        const answer = decodeNatPmpAnswer(bytes);
        if (announced?.opcode === PcpOpcode.announce) {
          this.#follows("pcp", announced.epochSeconds);
          if (announced.result === PcpResult.success) return "pcp";
          noPcp = pcpError(announced.result);
        } else if (answer?.kind === "address") {
          this.#follows("nat-pmp", answer.epochSeconds);
          if (answer.result === 0) return answer;
          noNatPmp = natPmpError(answer.result);
        } else if (bytes[0] === 0 && bytes.length >= 8) {
          // "Unsupported version" answers PCP: this gateway speaks NAT-PMP only (RFC 6887 appendix A).
          const isToPcp = answer?.kind !== "error" || answer.result === NatPmpResult.unsupportedVersion;
          if (isToPcp) noPcp ??= pcpError(PcpResult.unsupportedVersion);
          else noNatPmp ??= natPmpError(answer.result);
          if (!asked) send(addressRequest);
          asked = true;
        } else {
          this.#countStray(announced !== undefined || answer !== undefined);
        }
        if (noPcp !== undefined && noNatPmp !== undefined)
          throw noNatPmp.kind === "refused" ? noNatPmp : noPcp;
        return undefined;
      },
    };
  }

  #addressQuestion(): GatewayQuestion<NatPmpAddressAnswer> {
    return {
      requests: () => repeated(encodeNatPmpAddressRequest()),
      answer: (bytes) => {
        const answer = decodeNatPmpAnswer(bytes);
        if (
          answer === undefined ||
          answer.kind === "map" ||
          (answer.kind === "error" && answer.opcode !== 0)
        ) {
          this.#countStray(answer !== undefined);
          return undefined;
        }
        this.#follows("nat-pmp", answer.epochSeconds);
        if (answer.result !== 0 || answer.kind === "error") throw natPmpError(answer.result);
        return answer;
      },
    };
  }

  #mapQuestion(
    internalPort: number,
    suggestedPort: number,
    lifetimeSeconds: number,
    undo: boolean,
  ): GatewayQuestion<NatPmpMapAnswer> {
    return {
      requests: () => repeated(encodeNatPmpMapRequest(internalPort, suggestedPort, lifetimeSeconds)),
      answer: (bytes) => {
        const answer = decodeNatPmpAnswer(bytes);
        const matches =
          answer?.kind === "map"
            ? answer.internalPort === internalPort
            : answer?.kind === "error" && answer.opcode === 1;
        if (answer === undefined || answer.kind === "address" || !matches) {
          this.#countStray(answer !== undefined);
          return undefined;
        }
        this.#follows("nat-pmp", answer.epochSeconds);
        if (answer.result !== 0 || answer.kind === "error") throw natPmpError(answer.result);
        return answer;
      },
      ...(undo ? { undo: () => encodeNatPmpMapRequest(internalPort, 0, 0) } : {}),
    };
  }

  #pcpQuestion(
    internalPort: number,
    wish: Wish,
    lifetimeSeconds: number,
    undo: boolean,
  ): GatewayQuestion<
    PcpAnswer & { readonly map: { readonly externalPort: number; readonly externalHost: string | undefined } }
  > {
    const nonce = this.#nonceOf(internalPort);
    const request = (clientHost: string): PcpMapRequest => ({
      clientHost,
      nonce,
      internalPort,
      suggestedPort: wish.port,
      suggestedHost: wish.host,
      lifetimeSeconds,
    });
    return {
      requests: (localHost) => repeated(encodePcpMap(request(localHost))),
      answer: (bytes) => {
        const answer = decodePcpAnswer(bytes);
        if (answer === undefined && bytes[0] === 0 && bytes.length >= 8)
          throw pcpError(PcpResult.unsupportedVersion);
        if (answer?.map === undefined || !answersMap(answer.map, request(ANY_HOST))) {
          this.#countStray(answer !== undefined);
          return undefined;
        }
        this.#follows("pcp", answer.epochSeconds);
        if (answer.result !== PcpResult.success) throw pcpError(answer.result);
        return { ...answer, map: answer.map };
      },
      ...(undo
        ? {
            undo: (clientHost: string) =>
              encodePcpMap({
                ...request(clientHost),
                suggestedPort: 0,
                suggestedHost: ANY_HOST,
                lifetimeSeconds: 0,
              }),
          }
        : {}),
    };
  }

  async #installPcp(
    internalPort: number,
    wish: Wish,
    lifetimeSeconds: number,
    signal: AbortSignal | undefined,
    isNew: boolean,
  ): Promise<PortMapping> {
    if (isNew) this.#nonces.delete(internalPort);
    const question = this.#pcpQuestion(internalPort, wish, lifetimeSeconds, isNew);
    const answer = await askGateway(this.#options, question, signal);
    const { externalHost = "", externalPort } = answer.map;
    return this.#granted(internalPort, externalHost, externalPort, answer.lifetimeSeconds);
  }

  async #installNatPmp(
    internalPort: number,
    wish: Wish,
    lifetimeSeconds: number,
    signal: AbortSignal | undefined,
    isNew: boolean,
  ): Promise<PortMapping> {
    const host = this.#externalHost;
    if (host === undefined) throw new PortMappingError("transport", "install called before successful probe");
    const question = this.#mapQuestion(internalPort, wish.port, lifetimeSeconds, isNew);
    const answer = await askGateway(this.#options, question, signal);
    return this.#granted(internalPort, host, answer.mappedPort, answer.lifetimeSeconds);
  }

  /** The mapping that the gateway made; one that is of no use is taken back. */
  async #granted(
    internalPort: number,
    host: string,
    port: number,
    lifetimeSeconds: number,
  ): Promise<PortMapping> {
    try {
      if (lifetimeSeconds === 0) throw new PortMappingError("transport", "a lease of zero seconds");
      const external = checkedExternal(host, port, this.#policy);
      this.#externalHost = external.host;
      return { external, internalPort, ttlMs: lifetimeSeconds * 1000, protocol: "nat-pmp" };
    } catch (error) {
      await this.#delete(internalPort);
      throw error;
    }
  }

  async #delete(internalPort: number, signal?: AbortSignal): Promise<void> {
    // Port 0 would delete all mappings of this host (RFC 6886 §3.4).
    if (internalPort === 0) return;
    const question =
      this.#variant === "pcp"
        ? this.#pcpQuestion(internalPort, { port: 0, host: ANY_HOST }, 0, false)
        : this.#mapQuestion(internalPort, 0, 0, false);
    await askGateway<unknown>(this.#options, question, signal, REMOVE_DEADLINE_MS).catch(() => {});
    this.#nonces.delete(internalPort);
  }

  #may(variant: GatewayVariant): boolean {
    return this.#options.variants?.includes(variant) ?? true;
  }

  #checkedHost(host: string): string {
    checkExternalHost(host, this.#policy);
    return host;
  }

  #follows(variant: GatewayVariant, epochSeconds: number): boolean {
    const follows = this.#epoch.follows(variant, epochSeconds, this.#options.timers.now());
    if (!follows) this.#options.counters.gatewayRestarts += 1;
    return follows;
  }

  #nonceOf(internalPort: number): Uint8Array {
    const known = this.#nonces.get(internalPort);
    if (known !== undefined) return known;
    const nonce = new Uint8Array(PCP_NONCE_SIZE);
    this.#options.random.fill(nonce);
    this.#nonces.set(internalPort, nonce);
    return nonce;
  }

  #countStray(isAnswer: boolean): void {
    if (isAnswer) this.#options.counters.unmatchedAnswers += 1;
    else this.#options.counters.malformedAnswers += 1;
  }
}

function repeated(bytes: Uint8Array): readonly { readonly atMs: number; readonly bytes: Uint8Array }[] {
  return GATEWAY_SENDS_MS.map((atMs) => ({ atMs, bytes }));
}

function speaksNoPcp(error: unknown): boolean {
  if (!(error instanceof PortMappingError)) return false;
  return (
    error.routerCode === PcpResult.unsupportedVersion || error.routerCode === PcpResult.unsupportedOpcode
  );
}
