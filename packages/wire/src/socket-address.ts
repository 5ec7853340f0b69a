import { WireError } from "./errors.ts";

/** What {@link SocketAddress.parse} takes beside text. */
export interface HostAndPort {
  /** A literal IPv4 or IPv6 address, without brackets; `%scope` is kept. */
  readonly host: string;
  /** UDP port, 0..65535. */
  readonly port: number;
}

/**
 * Address of a datagram socket: literal IP and UDP port, immutable, compared by value.
 *
 * IPv4-mapped IPv6 (`::ffff:a.b.c.d`) becomes IPv4 and IPv6 is written lower-case and compressed
 * (RFC 5952), so two addresses are equal exactly when their {@link SocketAddress.key | keys} are.
 * Source: transport §9.1 rule 1.
 */
export class SocketAddress implements HostAndPort {
  /** Canonical literal IP, without brackets. */
  readonly host: string;
  /** UDP port, 0..65535. */
  readonly port: number;
  /** 4 or 6, after normalisation. */
  readonly family: 4 | 6;
  /** Made when first asked for: a source that is seen once and dropped needs none. */
  #key: string | undefined;

  private constructor(host: string, port: number, family: 4 | 6) {
    this.host = host;
    this.port = port;
    this.family = family;
  }

  /** Canonical `ip:port` or `[ip]:port`; fit as a map key. */
  get key(): string {
    this.#key ??= this.family === 4 ? `${this.host}:${this.port}` : `[${this.host}]:${this.port}`;
    return this.#key;
  }

  /**
   * Reads `"ip:port"`, `"[ip]:port"` or `{ host, port }`. Names are not resolved.
   *
   * @throws WireError `invalid-address` when the host is not a literal IP or the port not 0..65535.
   */
  static parse(value: string | HostAndPort): SocketAddress {
    if (value instanceof SocketAddress) return value;
    const address = typeof value === "string" ? fromText(value) : fromParts(value.host, value.port);
    if (address !== undefined) return new SocketAddress(address.host, address.port, address.family);
    const shown = typeof value === "string" ? value : `${value.host} port ${value.port}`;
    throw new WireError("invalid-address", `not a literal IP address with a port: ${shown}`, shown);
  }

  /** Whether both are the same host and port. */
  equals(other: SocketAddress): boolean {
    return this === other || (this.port === other.port && this.host === other.host);
  }

  /** Whether the host is this machine itself: 127.0.0.0/8 or `::1`. */
  get isLoopback(): boolean {
    return this.family === 4 ? this.host.startsWith("127.") : this.host === "::1";
  }

  /** The canonical text, {@link SocketAddress.key}. */
  toString(): string {
    return this.key;
  }
}

/** Entries an {@link AddressBook} holds unless told otherwise. */
export const DEFAULT_ADDRESS_BOOK_CAPACITY = 16_384;

/**
 * Turns the host text and port a socket reports for each datagram into shared {@link SocketAddress}
 * objects, without building a string for an address already known.
 *
 * A cache of fixed size, in sets of two: an address stays in the first place of its set once it was
 * seen twice, and newcomers displace each other in the second one. So a flood from ever new sources
 * costs little and displaces hardly any peer. An evicted address that comes back is a new object:
 * compare with `equals`, not by identity.
 */
export class AddressBook {
  readonly #lastSet: number;
  /** As the socket reports them; two places per set. */
  readonly #hosts: string[];
  readonly #addresses: (SocketAddress | undefined)[];
  #size = 0;

  /** @param capacity most addresses kept, rounded down to a power of two, at least 2. */
  constructor(capacity: number = DEFAULT_ADDRESS_BOOK_CAPACITY) {
    const sets = 2 ** Math.floor(Math.log2(Math.max(2, capacity))) / 2;
    this.#lastSet = sets - 1;
    this.#hosts = new Array<string>(sets * 2).fill("");
    this.#addresses = new Array<SocketAddress | undefined>(sets * 2).fill(undefined);
  }

  /** Addresses held now. */
  get size(): number {
    return this.#size;
  }

  /**
   * The address for a literal host and a port.
   *
   * @throws WireError `invalid-address` as {@link SocketAddress.parse}.
   */
  intern(host: string, port: number): SocketAddress {
    const first = (hashOf(host, port) & this.#lastSet) * 2;
    const known = this.#at(first, host, port);
    if (known !== undefined) return known;
    const second = first + 1;
    const seenOnce = this.#at(second, host, port);
    if (seenOnce !== undefined) {
      this.#put(second, this.#hosts[first] as string, this.#addresses[first]);
      this.#put(first, host, seenOnce);
      return seenOnce;
    }
    const address = SocketAddress.parse({ host, port });
    const place = this.#addresses[first] === undefined ? first : second;
    if (this.#addresses[place] === undefined) this.#size += 1;
    this.#put(place, host, address);
    return address;
  }

  #at(place: number, host: string, port: number): SocketAddress | undefined {
    const address = this.#addresses[place];
    return address?.port === port && this.#hosts[place] === host ? address : undefined;
  }

  #put(place: number, host: string, address: SocketAddress | undefined): void {
    this.#hosts[place] = host;
    this.#addresses[place] = address;
  }
}

function hashOf(host: string, port: number): number {
  let hash = Math.imul(port, 0x85ebca6b);
  for (let i = 0; i < host.length; i++) hash = Math.imul(hash ^ host.charCodeAt(i), 0x01000193);
  return hash ^ (hash >>> 15);
}

interface Parts {
  readonly host: string;
  readonly port: number;
  readonly family: 4 | 6;
}

function fromText(text: string): Parts | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const parts = fromParts(match[1] ?? match[2] ?? "", Number(match[3]));
  // Brackets belong to IPv6 text; a mapped address between them is IPv4 only after normalisation.
  return match[1] !== undefined && !match[1].includes(":") ? undefined : parts;
}

function fromParts(host: string, port: number): Parts | undefined {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) return undefined;
  if (isIpv4(host)) return { host, port, family: 4 };
  // What an IPv6 socket reports for IPv4 peers.
  if (host.startsWith(MAPPED) && isIpv4(host.slice(MAPPED.length))) {
    return { host: host.slice(MAPPED.length), port, family: 4 };
  }
  const scopeAt = host.indexOf("%");
  const groups = ipv6Groups(scopeAt < 0 ? host : host.slice(0, scopeAt));
  if (groups === undefined || scopeAt === host.length - 1) return undefined;
  const scope = scopeAt < 0 ? "" : host.slice(scopeAt);
  if (/[\s\]]/.test(scope)) return undefined;
  if (isMapped(groups)) {
    const [high, low] = [groups[6] as number, groups[7] as number];
    return scope === ""
      ? { host: `${high >> 8}.${high & 255}.${low >> 8}.${low & 255}`, port, family: 4 }
      : undefined;
  }
  return { host: compress(groups) + scope, port, family: 6 };
}

const MAPPED = "::ffff:";
const ZERO = 0x30;
const DOT = 0x2e;

/** Whether the text is a dotted quad without leading zeros; without a regular expression, as floods come through here. */
function isIpv4(text: string): boolean {
  const { length } = text;
  if (length < 7 || length > 15) return false;
  let dots = 0;
  let octet = -1;
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (octet < 0) return false;
      dots++;
      octet = -1;
      continue;
    }
    const digit = code - ZERO;
    if (digit < 0 || digit > 9 || octet === 0) return false;
    octet = octet < 0 ? digit : octet * 10 + digit;
    if (octet > 255) return false;
  }
  return dots === 3 && octet >= 0;
}

/** The two 16-bit groups of a dotted quad; leading zeros are refused, as they read as octal elsewhere. */
function ipv4Groups(text: string): [number, number] | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const octets = match.slice(1);
  if (octets.some((octet) => Number(octet) > 255 || (octet.length > 1 && octet.startsWith("0")))) {
    return undefined;
  }
  const [a, b, c, d] = octets.map(Number) as [number, number, number, number];
  return [(a << 8) | b, (c << 8) | d];
}

/** The eight groups of IPv6 text (RFC 4291 §2.2), scope id removed. */
function ipv6Groups(text: string): number[] | undefined {
  const halves = text.split("::");
  if (halves.length > 2) return undefined;
  const head = groupList(halves[0] as string, halves.length === 1);
  if (halves.length === 1) return head?.length === 8 ? head : undefined;
  const tail = groupList(halves[1] as string, true);
  if (head === undefined || tail === undefined || head.length + tail.length > 7) return undefined;
  return [...head, ...new Array<number>(8 - head.length - tail.length).fill(0), ...tail];
}

function groupList(text: string, mayEndInQuad: boolean): number[] | undefined {
  if (text === "") return [];
  const groups: number[] = [];
  const parts = text.split(":");
  for (const [index, part] of parts.entries()) {
    if (/^[0-9a-f]{1,4}$/i.test(part)) {
      groups.push(Number.parseInt(part, 16));
      continue;
    }
    const quad = mayEndInQuad && index === parts.length - 1 ? ipv4Groups(part) : undefined;
    if (quad === undefined) return undefined;
    groups.push(...quad);
  }
  return groups;
}

function isMapped(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0);
}

/** RFC 5952 §4: lower case, the longest run of two or more zero groups (the first of equals) as `::`. */
function compress(groups: readonly number[]): string {
  let runStart = 0;
  let runLength = 1;
  for (let start = 0; start < 8; start++) {
    let end = start;
    while (end < 8 && groups[end] === 0) end += 1;
    if (end - start > runLength) [runStart, runLength] = [start, end - start];
  }
  const hex = groups.map((group) => group.toString(16));
  if (runLength === 1) return hex.join(":");
  return `${hex.slice(0, runStart).join(":")}::${hex.slice(runStart + runLength).join(":")}`;
}
