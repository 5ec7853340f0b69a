import { type RandomSource, randomBelow } from "../../random-source.ts";
import { withDeadline } from "../../timers.ts";
import { checkExternalHost, checkedExternal, type ExternalAddressPolicy } from "../external-address.ts";
import { parseIpv4 } from "../ipv4.ts";
import {
  type CallOptions,
  checkedLifetime,
  MAPPING_TTL_MS,
  type PortMapperClient,
  type PortMapping,
} from "../port-mapping.ts";
import { PortMappingError, timedOut } from "../port-mapping-error.ts";
import { type ControlPoint, type DeviceLink, openDevice } from "./control-point.ts";
import { DeviceSearch, type DeviceSearchOptions } from "./device-search.ts";
import type { SoapArgument } from "./soap.ts";
import { UpnpCode } from "./upnp-error.ts";
import { textOf } from "./xml-document.ts";

/** Deadline of a call, in milliseconds (traversal §2.3). */
export const UPNP_DEADLINE_MS = 2_000;

/** Wait for taking back an install that did not come to its end. */
const UNDO_DEADLINE_MS = 500;

/** Random ports tried after a conflict, and where they lie (the dynamic ports of RFC 6335). */
const RANDOM_TRIES = 4;
const DYNAMIC_PORTS = 49_152;

/** Longest description that every router takes. */
const MAX_DESCRIPTION = 64;

/** What a {@link UpnpMapper} works with. */
export interface UpnpMapperOptions extends DeviceSearchOptions, DeviceLink {
  readonly random: RandomSource;
  /** What the router shows to its owner, up to 64 characters. Default `netmesh`. */
  readonly description?: string;
  /** Also takes external addresses that nobody outside can reach. For laboratories; default false. */
  readonly allowPrivateExternal?: boolean;
  /** Also talks to routers from a loopback address. For tests; default false. */
  readonly allowLoopback?: boolean;
}

/** UPnP Internet Gateway Device, versions 1 and 2 (traversal §15). */
export class UpnpMapper implements PortMapperClient {
  readonly #options: UpnpMapperOptions;
  readonly #policy: ExternalAddressPolicy;
  readonly #description: string;
  /** The router in use; forgotten when a call fails in a way that another router could do better. */
  #router: ControlPoint | undefined;
  /** For removals, which have no time to search. */
  #lastRouter: ControlPoint | undefined;
  /** Whether the router takes only leases without an end. */
  #isPermanent = false;

  /** @throws {PortMappingError} `transport` when the description is too long. */
  constructor(options: UpnpMapperOptions) {
    this.#options = options;
    this.#policy = { allowPrivate: options.allowPrivateExternal ?? false, counters: options.counters };
    this.#description = options.description ?? "netmesh";
    if (this.#description.length > MAX_DESCRIPTION)
      throw new PortMappingError("transport", "description too long");
  }

  /** Whether a router is known from an earlier call. */
  get hasRouter(): boolean {
    return this.#router !== undefined;
  }

  /** Whether the router takes only leases without an end, which have to be removed. */
  get isPermanent(): boolean {
    return this.#isPermanent;
  }

  async probe(options: CallOptions = {}): Promise<void> {
    await this.#discover(options.signal);
  }

  async install(internalPort: number, ttlMs: number, options: CallOptions = {}): Promise<PortMapping> {
    const lease = checkedLifetime(internalPort, ttlMs);
    return await this.#map(internalPort, internalPort, lease, options.signal, true);
  }

  async renew(mapping: PortMapping, options: CallOptions = {}): Promise<PortMapping> {
    const { internalPort, external } = mapping;
    const lease = checkedLifetime(internalPort, MAPPING_TTL_MS);
    const next = await this.#map(internalPort, external.port, lease, options.signal, false);
    if (next.external.port !== external.port) await this.remove(mapping, options);
    return next;
  }

  async remove(mapping: PortMapping, options: CallOptions = {}): Promise<void> {
    const router = this.#router ?? this.#lastRouter;
    if (router === undefined) return;
    const work = (signal: AbortSignal): Promise<unknown> => deletePort(router, mapping.external.port, signal);
    await this.#bounded(options.signal, work).catch(() => {});
  }

  async #map(
    internalPort: number,
    wish: number,
    lease: number,
    signal: AbortSignal | undefined,
    isNew: boolean,
  ): Promise<PortMapping> {
    const router = this.#router ?? (await this.#discover(signal));
    /** The port that a request in flight may have taken. */
    let pending: number | undefined;
    const attempt = (port: number | undefined): void => {
      pending = port;
    };
    try {
      return await this.#bounded(signal, async (ended) => {
        const host = textOf(await router.call("GetExternalIPAddress", [], ended), "NewExternalIPAddress");
        checkExternalHost(host, this.#policy);
        const port = await this.#addPort(router, internalPort, wish, lease, ended, attempt);
        const external = checkedExternal(host, port, this.#policy);
        return { external, internalPort, ttlMs: lease * 1000, protocol: "upnp" };
      });
    } catch (error) {
      if (isNew && pending !== undefined) await this.#undo(router, pending);
      if (!(error instanceof PortMappingError) || error.kind !== "refused") this.#router = undefined;
      throw error;
    }
  }

  /** Gets a port, the wished one if possible. */
  async #addPort(
    router: ControlPoint,
    internalPort: number,
    wish: number,
    lease: number,
    signal: AbortSignal,
    attempt: (port: number | undefined) => void,
  ): Promise<number> {
    const add = async (port: number, action = "AddPortMapping"): Promise<number | undefined> => {
      attempt(port);
      const added = await this.#add(router, action, port, internalPort, lease, signal);
      if (added === "conflict" || added === "same-port") attempt(undefined);
      if (added === "same-port") return port === internalPort ? undefined : await add(internalPort);
      if (added === "conflict") return undefined;
      attempt(added);
      if (await this.#isOurs(router, added, internalPort, signal)) return added;
      this.#options.counters.conflicts += 1;
      attempt(undefined);
      return undefined;
    };
    const wished = await add(wish);
    if (wished !== undefined) return wished;
    if (await router.canAddAny(signal)) {
      const any = await add(wish, "AddAnyPortMapping");
      if (any !== undefined) return any;
    } else {
      for (let tries = 0; tries < RANDOM_TRIES; tries += 1) {
        const port = DYNAMIC_PORTS + randomBelow(this.#options.random, 65_536 - DYNAMIC_PORTS);
        const other = await add(port);
        if (other !== undefined) return other;
      }
    }
    throw new PortMappingError("refused", "external-port-in-use", { routerCode: UpnpCode.conflict });
  }

  /** One request for a port; the port that the router gave. Leases that have to be permanent become so. */
  async #add(
    router: ControlPoint,
    action: string,
    port: number,
    internalPort: number,
    lease: number,
    signal: AbortSignal,
  ): Promise<number | "conflict" | "same-port"> {
    const args = (leaseSeconds: number): readonly SoapArgument[] => [
      ["NewRemoteHost", ""],
      ["NewExternalPort", String(port)],
      ["NewProtocol", "UDP"],
      ["NewInternalPort", String(internalPort)],
      ["NewInternalClient", this.#localHost(router)],
      ["NewEnabled", "1"],
      ["NewPortMappingDescription", this.#description],
      ["NewLeaseDuration", String(leaseSeconds)],
    ];
    const call = async (leaseSeconds: number): Promise<number> => {
      const result = await router.call(action, args(leaseSeconds), signal);
      const reserved = textOf(result, "NewReservedPort");
      return action === "AddAnyPortMapping" && /^\d{1,5}$/.test(reserved) ? Number(reserved) : port;
    };
    try {
      if (this.#isPermanent) return await call(0);
      try {
        return await call(lease);
      } catch (error) {
        if (!wantsPermanent(error)) throw error;
        const given = await call(0);
        this.#isPermanent = true;
        return given;
      }
    } catch (error) {
      const code = error instanceof PortMappingError ? error.routerCode : undefined;
      if (code === UpnpCode.samePortRequired) return "same-port";
      if (code !== UpnpCode.conflict && code !== UpnpCode.conflictWithOtherMechanism) throw error;
      this.#options.counters.conflicts += 1;
      return "conflict";
    }
  }

  /** Some routers answer "done" and leave the port with another host. Those that cannot tell are believed. */
  async #isOurs(
    router: ControlPoint,
    port: number,
    internalPort: number,
    signal: AbortSignal,
  ): Promise<boolean> {
    const args: readonly SoapArgument[] = [
      ["NewRemoteHost", ""],
      ["NewExternalPort", String(port)],
      ["NewProtocol", "UDP"],
    ];
    try {
      const entry = await router.call("GetSpecificPortMappingEntry", args, signal);
      const client = textOf(entry, "NewInternalClient");
      const clientPort = textOf(entry, "NewInternalPort");
      return (
        (client === "" || client === router.localHost) &&
        (clientPort === "" || clientPort === String(internalPort))
      );
    } catch {
      signal.throwIfAborted();
      return true;
    }
  }

  async #discover(outer: AbortSignal | undefined): Promise<ControlPoint> {
    this.#router = undefined;
    this.#isPermanent = false;
    const router = await this.#bounded(outer, (signal) => this.#findRouter(signal));
    this.#router = router;
    this.#lastRouter = router;
    return router;
  }

  /** Searches until a router has an external address of use; prefers services that are connected. */
  async #findRouter(signal: AbortSignal): Promise<ControlPoint> {
    const search = new DeviceSearch(this.#options);
    let failure: unknown;
    try {
      await search.start();
      for (;;) {
        const location = await search.next(signal);
        if (location === undefined) break;
        try {
          const points = await openDevice(this.#options, location, signal);
          return await this.#usable(points, signal);
        } catch (error) {
          signal.throwIfAborted();
          failure ??= error;
        }
      }
    } finally {
      search.close();
    }
    throw failure ?? new PortMappingError("unavailable");
  }

  async #usable(points: readonly ControlPoint[], signal: AbortSignal): Promise<ControlPoint> {
    let failure: unknown;
    for (const point of await connectedFirst(points, signal)) {
      try {
        this.#localHost(point);
        const answer = await point.call("GetExternalIPAddress", [], signal);
        checkExternalHost(textOf(answer, "NewExternalIPAddress"), this.#policy);
        return point;
      } catch (error) {
        signal.throwIfAborted();
        failure ??= error;
      }
    }
    throw failure;
  }

  #localHost(router: ControlPoint): string {
    const value = parseIpv4(router.localHost);
    const isLoopback = value !== undefined && value >>> 24 === 127;
    if (value === undefined || value === 0 || (isLoopback && !this.#options.allowLoopback)) {
      throw new PortMappingError("transport", `local address ${router.localHost}`);
    }
    return router.localHost;
  }

  #bounded<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { timers, counters } = this.#options;
    const late = (): PortMappingError => {
      counters.timeouts += 1;
      return timedOut();
    };
    return withDeadline(timers, UPNP_DEADLINE_MS, late, signal, work);
  }

  async #undo(router: ControlPoint, port: number): Promise<void> {
    const { timers } = this.#options;
    const work = (signal: AbortSignal): Promise<unknown> => deletePort(router, port, signal);
    await withDeadline(timers, UNDO_DEADLINE_MS, timedOut, undefined, work).catch(() => {});
  }
}

function deletePort(router: ControlPoint, port: number, signal: AbortSignal): Promise<unknown> {
  const args: readonly SoapArgument[] = [
    ["NewRemoteHost", ""],
    ["NewExternalPort", String(port)],
    ["NewProtocol", "UDP"],
  ];
  return router.call("DeletePortMapping", args, signal);
}

/** With several services, those that say `Connected` come first; otherwise the order of the description stays. */
async function connectedFirst(
  points: readonly ControlPoint[],
  signal: AbortSignal,
): Promise<readonly ControlPoint[]> {
  if (points.length < 2) return points;
  const connected: ControlPoint[] = [];
  const others: ControlPoint[] = [];
  for (const point of points) {
    const status = await point.call("GetStatusInfo", [], signal).then(
      (answer) => textOf(answer, "NewConnectionStatus"),
      () => "",
    );
    signal.throwIfAborted();
    (status === "Connected" ? connected : others).push(point);
  }
  return [...connected, ...others];
}

function wantsPermanent(error: unknown): boolean {
  const code = error instanceof PortMappingError ? error.routerCode : undefined;
  return (
    code === UpnpCode.onlyPermanentLeases || code === UpnpCode.invalidArgs || code === UpnpCode.actionFailed
  );
}
