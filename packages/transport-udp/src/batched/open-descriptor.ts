import type { SocketAddress } from "@netmesh/wire";
import { DEFAULT_BUFFER_BYTES, requestBuffer, type SocketBuffers } from "../socket-buffers.ts";
import { TransportError, toTransportError } from "../transport-error.ts";
import type { TransportOptions } from "../transport-socket.ts";
import {
  AF_INET,
  AF_INET6,
  IP_MTU_DISCOVER,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_MTU_DISCOVER,
  IPV6_RECVERR,
  IPV6_V6ONLY,
  PMTUDISC_PROBE,
  SO_RCVBUF,
  SO_REUSEADDR,
  SO_SNDBUF,
  SOCK_DGRAM_NONBLOCK_CLOEXEC,
  SOCKADDR_ROOM,
  SOL_SOCKET,
  SOL_UDP,
  UDP_GRO,
  UDP_SEGMENT,
} from "./linux-abi.ts";
import { SocketNames } from "./socket-name.ts";
import { type Syscalls, systemError } from "./syscalls.ts";

/** A bound descriptor and what the kernel granted it. The descriptor is the caller's to close. */
export interface OpenDescriptor {
  readonly fd: number;
  readonly names: SocketNames;
  readonly localAddress: SocketAddress;
  readonly buffers: SocketBuffers;
  /** Whether the kernel cuts long messages into datagrams (UDP_SEGMENT). */
  readonly canSegment: boolean;
  /** Whether the kernel joins received datagrams (UDP_GRO). */
  readonly isJoining: boolean;
  /** Whether the kernel may cut datagrams into IP fragments. */
  readonly fragments: boolean;
}

/**
 * Opens and binds a datagram socket, in the order of transport §2.1.
 *
 * @throws TransportError `address-in-use`, `address-not-available`, `socket`; nothing is left open then
 */
export function openDescriptor(
  sys: Syscalls,
  address: SocketAddress,
  options: TransportOptions,
  offload: boolean,
): OpenDescriptor {
  const { family } = address;
  const require = (result: number, call: string): number => {
    if (result < 0) throw toTransportError(systemError(result, call), `binding ${address}`);
    return result;
  };
  const fd = require(sys.socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM_NONBLOCK_CLOEXEC, 0), "socket");
  try {
    const names = new SocketNames(family, sys);
    const buffer =
      (option: number): ((bytes: number) => void) =>
      (bytes) => {
        const result = sys.setOption(fd, SOL_SOCKET, option, bytes);
        if (result < 0) throw systemError(result, "setsockopt");
      };
    requestBuffer(buffer(SO_RCVBUF), options.receiveBufferBytes ?? DEFAULT_BUFFER_BYTES);
    requestBuffer(buffer(SO_SNDBUF), options.sendBufferBytes ?? DEFAULT_BUFFER_BYTES);
    if (options.reuseAddress === true) require(sys.setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1), "setsockopt");
    if (family === 6) {
      require(sys.setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, options.ipv6Only === true ? 1 : 0), "setsockopt");
      // Reports of what became of datagrams are welcome, and no socket fails for the want of them.
      sys.setOption(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    }
    sys.setOption(fd, IPPROTO_IP, IP_RECVERR, 1);
    const fragments = options.fragments === true || !forbidFragments(sys, fd, family);
    const canSegment = offload && sys.setOption(fd, SOL_UDP, UDP_SEGMENT, 0) >= 0;
    const isJoining = offload && sys.setOption(fd, SOL_UDP, UDP_GRO, 1) >= 0;
    const name = names.encode(address);
    if (name === undefined) throw new TransportError("invalid-argument", `no interface for ${address}`);
    require(sys.bind(fd, new Uint8Array(name.buffer), names.size), "bind");
    const bound = new Uint32Array(SOCKADDR_ROOM / 4);
    require(sys.getsockname(fd, new Uint8Array(bound.buffer)), "getsockname");
    const granted = new Uint32Array(1);
    const read = (option: number): number => {
      require(sys.getOption(fd, SOL_SOCKET, option, granted), "getsockopt");
      return granted[0] as number;
    };
    const buffers = { receiveBufferBytes: read(SO_RCVBUF), sendBufferBytes: read(SO_SNDBUF) };
    const localAddress = names.decode(bound, 0);
    if (localAddress === undefined) throw new TransportError("socket", `bound to no address at ${address}`);
    return { fd, names, localAddress, buffers, canSegment, isJoining, fragments };
  } catch (error) {
    sys.close(fd);
    throw error;
  }
}

/**
 * Sets "don't fragment"; false where the system refuses. IPv4 has its own option, also on an IPv6 socket, where it
 * speaks for the IPv4 peers.
 */
function forbidFragments(sys: Syscalls, fd: number, family: 4 | 6): boolean {
  if (sys.setOption(fd, IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE) < 0) return false;
  return family === 4 || sys.setOption(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE) >= 0;
}
