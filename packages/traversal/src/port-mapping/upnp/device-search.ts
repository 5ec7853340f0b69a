import type { Timers } from "../../timers.ts";
import type { PortMappingCounters } from "../counters.ts";
import { checkedLocation, type DeviceUrl } from "./device-url.ts";
import { decodeSearchAnswer, encodeSearch, SEARCH_TARGETS } from "./ssdp.ts";

/** A socket on one interface that searches by multicast. */
export interface SearchChannel {
  /** The interface's IPv4 address. */
  readonly localHost: string;
  /** The interface's network, dotted. */
  readonly netmask: string;
  /** Sends to the search group; failures are of no interest. */
  send(bytes: Uint8Array): void;
  /** Idempotent. */
  close(): void;
}

/** Opens one search socket per interface. */
export interface SearchChannels {
  /** `received` gets a datagram and the channel it came on; its bytes are valid during the call. */
  open(
    received: (channel: SearchChannel, bytes: Uint8Array, host: string) => void,
  ): Promise<readonly SearchChannel[]>;
}

/** How long answers are collected, in milliseconds (traversal §15.1). */
export const SEARCH_WINDOW_MS = 1_500;

/** When the search is sent. */
const SEARCH_SENDS_MS = [0, 400];

/** Most different locations of one search, of those the most of one host, and the most datagrams that are looked at. */
const MAX_LOCATIONS = 8;
const MAX_LOCATIONS_OF_HOST = 2;
const MAX_DATAGRAMS = 256;

/** What a search for routers works with. */
export interface DeviceSearchOptions {
  readonly search: SearchChannels;
  readonly timers: Timers;
  readonly counters: PortMappingCounters;
  /** The default gateway, where known: its answer is taken at once, and always has room. */
  readonly gateway: string | undefined;
}

/** One search for routers. The default gateway comes first, as soon as it answers; the others when the window is over. */
export class DeviceSearch {
  readonly #options: DeviceSearchOptions;
  /** By URL. At most {@link MAX_LOCATIONS} and those of the gateway; what comes later is dropped and counted. */
  readonly #found = new Map<string, DeviceUrl>();
  readonly #taken = new Set<string>();
  readonly #handles: unknown[] = [];
  #channels: readonly SearchChannel[] = [];
  #datagrams = 0;
  #isOver = false;
  #wake: () => void = () => {};

  constructor(options: DeviceSearchOptions) {
    this.#options = options;
  }

  /** Opens the sockets and sends the searches. */
  async start(): Promise<void> {
    const { search, timers } = this.#options;
    this.#handles.push(timers.after(SEARCH_WINDOW_MS, () => this.#end()));
    const channels = await search.open((channel, bytes, host) => this.#received(channel, bytes, host));
    if (this.#isOver) {
      for (const channel of channels) channel.close();
      return;
    }
    this.#channels = channels;
    if (channels.length === 0) this.#end();
    for (const atMs of SEARCH_SENDS_MS) {
      if (atMs === 0) this.#send();
      else this.#handles.push(timers.after(atMs, () => this.#send()));
    }
  }

  /** The next device to try; undefined when there is no other. One caller at a time. */
  async next(signal: AbortSignal): Promise<DeviceUrl | undefined> {
    for (;;) {
      signal.throwIfAborted();
      const { gateway } = this.#options;
      const waiting = [...this.#found.values()].filter((url) => !this.#taken.has(url.text));
      const url = waiting.find(({ host }) => host === gateway) ?? (this.#isOver ? waiting[0] : undefined);
      if (url !== undefined) {
        this.#taken.add(url.text);
        return url;
      }
      if (this.#isOver) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
    }
  }

  /** Closes the sockets. Idempotent. */
  close(): void {
    this.#end();
  }

  #end(): void {
    this.#isOver = true;
    for (const handle of this.#handles) this.#options.timers.cancel(handle);
    for (const channel of this.#channels) channel.close();
    this.#wake();
  }

  #send(): void {
    for (const target of SEARCH_TARGETS) {
      const bytes = encodeSearch(target);
      for (const channel of this.#channels) channel.send(bytes);
    }
  }

  #received(channel: SearchChannel, bytes: Uint8Array, host: string): void {
    if (this.#isOver) return;
    const { counters, gateway } = this.#options;
    this.#datagrams += 1;
    const isGateway = host === gateway;
    const answer = this.#datagrams <= MAX_DATAGRAMS || isGateway ? decodeSearchAnswer(bytes) : undefined;
    if (answer === undefined) {
      counters.ignoredSearchAnswers += 1;
      return;
    }
    const near = { localHost: channel.localHost, netmask: channel.netmask, gateway };
    const url = checkedLocation(answer.location, host, near);
    if (url === undefined) {
      counters.refusedLocations += 1;
      return;
    }
    if (this.#found.has(url.text)) return;
    const ofHost = [...this.#found.values()].filter((known) => known.host === url.host).length;
    if (ofHost >= MAX_LOCATIONS_OF_HOST || (this.#found.size >= MAX_LOCATIONS && !isGateway)) {
      counters.ignoredSearchAnswers += 1;
      return;
    }
    this.#found.set(url.text, url);
    this.#wake();
  }
}
