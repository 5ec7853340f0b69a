import { MAX_PATH_PROBE_SIZE, MIN_PATH_PROBE_SIZE } from "@netmesh/wire";

// Everything that packetization-layer path MTU discovery counts and waits for (RFC 8899 §5.1). Sizes are those of whole
// datagrams: UDP payload, with the routing header where there is one.

/** Every path is taken to carry that much; BASE_PLPMTU. */
export const BASE_DATAGRAM_BYTES: number = MIN_PATH_PROBE_SIZE;
/** Nothing larger is searched for; MAX_PLPMTU. */
export const MAX_DATAGRAM_BYTES: number = MAX_PATH_PROBE_SIZE;
/**
 * What Ethernet carries whole under IPv4 and IPv6. Nothing larger is searched for where somebody on the way may cut
 * datagrams into IP fragments: a larger probe would prove no more than that fragments pass.
 */
export const ETHERNET_IPV4_BYTES = 1_472;
export const ETHERNET_IPV6_BYTES = 1_452;

/** Tried first, in this order: IPv6's least MTU, common tunnels, Ethernet under IPv6 and IPv4, half and all of the most. */
export const LIKELY_SIZES: readonly number[] = [
  1_280,
  1_400,
  ETHERNET_IPV6_BYTES,
  ETHERNET_IPV4_BYTES,
  4_096,
  MAX_DATAGRAM_BYTES,
];
/** The search is over when what passes and what does not are so close together. */
export const SEARCH_STEP_BYTES = 32;

/** A size is given up after so many losses; MAX_PROBES. */
export const PROBE_COUNT = 3;
/** And after so many probes in any case, for a peer of which nothing is answered. */
export const MOST_PROBES = 10;
/** Least time for the answer to a probe of the search; PROBE_TIMER. */
export const PROBE_TIMER_MS = 1_000;
/** So many round trips, where that is longer. */
export const PROBE_ROUND_TRIPS = 3;
/** A search that has ended begins again after this; PMTU_RAISE_TIMER. */
export const RAISE_TIMER_MS = 600_000;

/** A size in use is confirmed so long after the first datagram that needs it; CONFIRMATION_TIMER. */
export const CONFIRMATION_TIMER_MS = 15_000;
/** Least time for the answer to a confirming probe: these follow the round trip, so that a black hole is found soon. */
export const LEAST_CONFIRMATION_MS = 50;
/** Least time between a proof that a size passes and the next one that a suspicion asks for. */
export const SUSPICION_PAUSE_MS = 500;
/** A packet too large for the base that is lost so often in a row makes its size suspect. */
export const SUSPICIOUS_LOSSES = 2;

/** Pause between a black hole and the next search; doubles with each further one. */
export const COOL_DOWN_MS = 10_000;
export const MOST_COOL_DOWN_MS: number = RAISE_TIMER_MS;
/** A black hole is forgotten after so long without another. */
export const FORGET_BLACK_HOLES_MS: number = 2 * RAISE_TIMER_MS;

/** Probes of one session that are answered in a second. */
export const ANSWERS_PER_SECOND = 32;
