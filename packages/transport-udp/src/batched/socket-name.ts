import { AddressBook, SocketAddress } from "@netmesh/wire";
import { AF_INET, AF_INET6, SOCKADDR_IN_SIZE, SOCKADDR_IN6_SIZE, SOCKADDR_ROOM } from "./linux-abi.ts";
import type { Syscalls } from "./syscalls.ts";

/** Words of a `sockaddr`. */
const NAME_WORDS: number = SOCKADDR_ROOM / 4;
/** Names whose addresses are found without making text of them; a power of two. */
const KNOWN_NAMES = 1_024;

/**
 * Converts between addresses and the `sockaddr` of one socket. An IPv6 socket spells IPv4 peers as mapped ones, and
 * they come back as IPv4.
 */
export class SocketNames {
  /** 4 or 6. */
  readonly family: 4 | 6;
  /** Bytes of every name on this socket. */
  readonly size: number;
  readonly #sys: Syscalls;
  /** Kept for as long as somebody keeps the address. */
  readonly #encoded: WeakMap<SocketAddress, Uint32Array> = new WeakMap();
  /** Bounded by itself. */
  readonly #book: AddressBook = new AddressBook();
  /** Names seen lately, by a hash of theirs; a newer one of the same hash takes the place. */
  readonly #known: Uint32Array = new Uint32Array(KNOWN_NAMES * NAME_WORDS);
  readonly #knownAddresses: (SocketAddress | undefined)[] = new Array(KNOWN_NAMES).fill(undefined);

  constructor(family: 4 | 6, sys: Syscalls) {
    this.family = family;
    this.size = family === 4 ? SOCKADDR_IN_SIZE : SOCKADDR_IN6_SIZE;
    this.#sys = sys;
  }

  /** The name as words; undefined for an address that this socket cannot speak to. Not the caller's to change. */
  encode(address: SocketAddress): Uint32Array | undefined {
    const known = this.#encoded.get(address);
    if (known !== undefined) return known;
    const name = this.#make(address);
    if (name !== undefined) this.#encoded.set(address, name);
    return name;
  }

  /** The address of a name at `at` words; undefined for a name of another kind. */
  decode(words: Uint32Array, at: number): SocketAddress | undefined {
    const head = words[at] as number;
    const w1 = words[at + 1] as number;
    const isShort = this.family === 4;
    const w2 = isShort ? 0 : (words[at + 2] as number);
    const w3 = isShort ? 0 : (words[at + 3] as number);
    const w4 = isShort ? 0 : (words[at + 4] as number);
    const w5 = isShort ? 0 : (words[at + 5] as number);
    const w6 = isShort ? 0 : (words[at + 6] as number);
    const mixed = Math.imul(head ^ w1 ^ Math.imul(w2 ^ w3, 31) ^ Math.imul(w4 ^ w5, 17) ^ w6, 0x9e3779b1);
    const index = mixed >>> 22;
    const known = this.#known;
    const place = index * NAME_WORDS;
    if (
      known[place] === head &&
      known[place + 1] === w1 &&
      known[place + 2] === w2 &&
      known[place + 3] === w3 &&
      known[place + 4] === w4 &&
      known[place + 5] === w5 &&
      known[place + 6] === w6
    ) {
      return this.#knownAddresses[index];
    }
    const address = this.#read(words, at);
    known[place] = head;
    known[place + 1] = w1;
    known[place + 2] = w2;
    known[place + 3] = w3;
    known[place + 4] = w4;
    known[place + 5] = w5;
    known[place + 6] = w6;
    this.#knownAddresses[index] = address;
    return address;
  }

  #make({ host, port, family }: SocketAddress): Uint32Array | undefined {
    const words = new Uint32Array(NAME_WORDS);
    const view = new DataView(words.buffer);
    view.setUint16(2, port);
    if (this.family === 4) {
      if (family !== 4) return undefined;
      view.setUint16(0, AF_INET, true);
      writeIpv4(view, 4, host);
      return words;
    }
    view.setUint16(0, AF_INET6, true);
    if (family === 4) {
      view.setUint16(18, 0xffff);
      writeIpv4(view, 20, host);
      return words;
    }
    const scopeAt = host.indexOf("%");
    writeIpv6(view, 8, scopeAt < 0 ? host : host.slice(0, scopeAt));
    if (scopeAt >= 0) {
      const scope = host.slice(scopeAt + 1);
      const index = /^\d+$/.test(scope) ? Number(scope) : this.#sys.interfaceIndex(scope);
      if (index === 0 || index > 0xffffffff) return undefined;
      view.setUint32(24, index, true);
    }
    return words;
  }

  #read(words: Uint32Array, at: number): SocketAddress | undefined {
    const view = new DataView(words.buffer, words.byteOffset + at * 4, SOCKADDR_ROOM);
    const family = view.getUint16(0, true);
    const port = view.getUint16(2);
    if (family === AF_INET && this.family === 4) return this.#book.intern(ipv4Text(view, 4), port);
    if (family !== AF_INET6 || this.family !== 6) return undefined;
    const groups: string[] = [];
    for (let i = 0; i < 8; i++) groups.push(view.getUint16(8 + 2 * i).toString(16));
    const text = groups.join(":");
    const isLinkLocal = (view.getUint16(8) & 0xffc0) === 0xfe80;
    // dgram shows the interface of link-local addresses, and only of those.
    const scope = isLinkLocal ? view.getUint32(24, true) : 0;
    const host = scope === 0 ? text : `${text}%${this.#sys.interfaceName(scope) ?? scope}`;
    // In the canonical spelling, so that the book knows one host by one text.
    const address = SocketAddress.parse({ host, port });
    return this.#book.intern(address.host, port);
  }
}

function writeIpv4(view: DataView, at: number, host: string): void {
  for (const [i, octet] of host.split(".").entries()) view.setUint8(at + i, Number(octet));
}

function ipv4Text(view: DataView, at: number): string {
  return `${view.getUint8(at)}.${view.getUint8(at + 1)}.${view.getUint8(at + 2)}.${view.getUint8(at + 3)}`;
}

/** Writes a canonical IPv6 literal (RFC 5952), as addresses hold them: hexadecimal groups and at most one `::`. */
function writeIpv6(view: DataView, at: number, host: string): void {
  const [head = "", tail] = host.split("::");
  const groupsOf = (text: string): number[] =>
    text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
  const first = groupsOf(head);
  const last = tail === undefined ? [] : groupsOf(tail);
  for (const [i, group] of first.entries()) view.setUint16(at + 2 * i, group);
  for (const [i, group] of last.entries()) view.setUint16(at + 16 - 2 * (last.length - i), group);
}
