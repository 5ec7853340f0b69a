/** What went on between us and routers, and what was refused. Plain numbers, never reset. */
export interface PortMappingCounters {
  /** Requests sent once more because no answer came. */
  retransmissions: number;
  /** Calls that passed their deadline. */
  timeouts: number;
  /** NAT-PMP or PCP answers that did not come from port 5351 of the gateway. */
  foreignAnswers: number;
  /** Answers of the gateway to something else: another nonce, operation, protocol or port. */
  unmatchedAnswers: number;
  /** Datagrams of the gateway that are no answer at all. */
  malformedAnswers: number;
  /** Epochs that say that the gateway lost its mappings. */
  gatewayRestarts: number;
  /** Multicast notices of others than the gateway, or unreadable ones. */
  refusedNotices: number;
  /** Notices of the gateway that told nothing new. */
  repeatedNotices: number;
  /** External addresses refused because nobody outside can reach them, or that are none. */
  refusedExternals: number;
  /** Search answers that are unreadable, or beyond what one search takes. */
  ignoredSearchAnswers: number;
  /** Search answers whose LOCATION points away from who sent it, or out of the local network. */
  refusedLocations: number;
  /** URLs in a device description that lead to another host. */
  refusedUrls: number;
  /** HTTP redirects, none of which is followed. */
  refusedRedirects: number;
  /** HTTP bodies beyond what is read. */
  oversizedDocuments: number;
  /** Documents that are not XML, declare a document type, or are beyond the limits of depth and size. */
  malformedDocuments: number;
  /** Ports that the router gave to somebody else. */
  conflicts: number;
}

/** All zero. */
export function portMappingCounters(): PortMappingCounters {
  return {
    retransmissions: 0,
    timeouts: 0,
    foreignAnswers: 0,
    unmatchedAnswers: 0,
    malformedAnswers: 0,
    gatewayRestarts: 0,
    refusedNotices: 0,
    repeatedNotices: 0,
    refusedExternals: 0,
    ignoredSearchAnswers: 0,
    refusedLocations: 0,
    refusedUrls: 0,
    refusedRedirects: 0,
    oversizedDocuments: 0,
    malformedDocuments: 0,
    conflicts: 0,
  };
}
