/** Largest UDP payload over IPv4, in bytes: 65 535 less the IP and UDP headers. */
export const MAX_DATAGRAM_BYTES = 65_507;
