/** The two households. */
export type Side = "a" | "b";

/** Where a program can run: hosts at home, their routers, the core of the Internet, two public hosts. */
export type Place = "home-a" | "router-a" | "core" | "router-b" | "home-b" | "public-1" | "public-2";

/** What a router does with the port {@link MESH_PORT} of its host. */
export type NatKind =
  /** No translation at all: the host is routed. */
  | "none"
  /** The same port outside; hears addresses and ports that the host has sent to. */
  | "port-preserving"
  /** One other port outside; hears addresses and ports that the host has sent to. */
  | "port-restricted"
  /** One other port outside; hears addresses that the host has sent to. */
  | "addr-restricted"
  /** One other port outside; hears everybody. */
  | "full-cone"
  /** A random port for each destination. */
  | "symmetric";

/** The UDP port that a mesh node in a household binds. */
export const MESH_PORT = 7000;

/** The port outside, with the kinds that have one other port. */
export const PINNED_PORT = 47_000;

/**
 * Public addresses are of 44.128.0.0/16, which is set aside for tests and which nobody takes for private: router daemons
 * refuse to map with a WAN address of a private or documentation network.
 */
export const PUBLIC_HOSTS = { "public-1": "44.128.10.10", "public-2": "44.128.20.10" } as const;

/** The addresses of a household. */
export interface Household {
  readonly host: string;
  readonly gateway: string;
  readonly network: string;
  /** Of the router's WAN side, and the core's side of that link. */
  readonly wan: string;
  readonly upstream: string;
  /** The same, between the router and a carrier's NAT. */
  readonly carrierWan: string;
  readonly carrierUpstream: string;
}

/** The plan of both. */
export const HOUSEHOLDS: Readonly<Record<Side, Household>> = { a: household(1), b: household(2) };

function household(index: number): Household {
  return {
    host: `192.168.${index}.10`,
    gateway: `192.168.${index}.1`,
    network: `192.168.${index}.0/24`,
    wan: `44.128.${index}.2`,
    upstream: `44.128.${index}.1`,
    carrierWan: `100.64.${index}.2`,
    carrierUpstream: `100.64.${index}.1`,
  };
}
