// What the kernel and the C library agree on, for Linux on x64 and arm64: both are little-endian with 64-bit pointers,
// and none of these numbers or layouts differs between them, or between glibc and musl.

export const AF_INET = 2;
export const AF_INET6 = 10;
/** Datagram socket that never blocks and is not inherited by child processes. */
export const SOCK_DGRAM_NONBLOCK_CLOEXEC: number = 2 | 0o4000 | 0o2000000;

// Levels and names of socket options; UDP_SEGMENT, UDP_GRO and IP_RECVERR are those of control messages, too.
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_MEMINFO = 55;
export const IPPROTO_IP = 0;
export const IP_MTU_DISCOVER = 10;
export const IP_RECVERR = 11;
export const IPPROTO_IPV6 = 41;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_RECVERR = 25;
export const IPV6_V6ONLY = 26;
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
export const UDP_GRO = 104;

/**
 * "Don't fragment", whatever ICMP has said of the path: only what exceeds the device's own MTU is refused. The same number
 * for IPv4 and IPv6 (`IP_PMTUDISC_PROBE`, `IPV6_PMTUDISC_PROBE`).
 */
export const PMTUDISC_PROBE = 3;

/** Position of the drops of the receive queue in what SO_MEMINFO reads, in u32 (`SK_MEMINFO_DROPS`). */
export const MEMINFO_DROPS = 8;
/** Room for all that SO_MEMINFO reads, in u32. */
export const MEMINFO_WORDS = 9;

export const MSG_CTRUNC = 0x8;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_ERRQUEUE = 0x2000;

/** Origins of an entry of the error queue that tell of the network (`SO_EE_ORIGIN_ICMP`, `_ICMP6`). */
export const ORIGIN_ICMP = 2;
export const ORIGIN_ICMP6 = 3;

/** `struct sockaddr_in` and `sockaddr_in6`, in bytes. */
export const SOCKADDR_IN_SIZE = 16;
export const SOCKADDR_IN6_SIZE = 28;
/** Room for either, on a boundary of 8. */
export const SOCKADDR_ROOM = 32;

/** `struct iovec`: address u64, length u64. */
export const IOVEC_SIZE = 16;

/**
 * `struct mmsghdr`: name u64, name length u32 and 4 unused, vector u64, vector length u64, control u64, control length
 * u64, flags u32 and 4 unused; then the length of the message u32 and 4 unused.
 */
export const MMSGHDR_SIZE = 64;
/** Positions of its fields, in u32. */
export const MSG_NAME = 0;
export const MSG_NAME_LENGTH = 2;
export const MSG_VECTOR = 4;
export const MSG_VECTOR_LENGTH = 6;
export const MSG_CONTROL = 8;
export const MSG_CONTROL_LENGTH = 10;
export const MSG_FLAGS = 12;
export const MSG_LENGTH = 14;

/** `struct cmsghdr`: length u64 with the header's own, level u32, type u32; the data follows. */
export const CMSGHDR_SIZE = 16;

// Error numbers that are acted upon.
export const EPERM = 1;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const ENOMEM = 12;
export const EACCES = 13;
export const EINVAL = 22;
export const ENOTSOCK = 88;
export const EMSGSIZE = 90;
export const EPROTO = 71;
export const ENONET = 64;
export const ENOPROTOOPT = 92;
export const EOPNOTSUPP = 95;
export const ENETDOWN = 100;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const ECONNREFUSED = 111;
export const EHOSTDOWN = 112;
export const EHOSTUNREACH = 113;
