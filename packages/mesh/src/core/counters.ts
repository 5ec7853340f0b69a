/**
 * Why packets were dropped or refused, and how much went through: plain numbers that only grow
 * (spec/session.md §10). One object per core.
 */
export class Counters {
  datagramsReceived = 0;
  bytesReceived = 0;
  datagramsSent = 0;
  bytesSent = 0;
  /** Datagrams passed on for others, and their bytes. */
  forwarded = 0;
  bytesForwarded = 0;
  /** Forwarded packets that were tried with every key this node holds, and those that one of them opened. */
  relayAudited = 0;
  relayOpened = 0;
  /** Packets opened with one of this node's own session keys. */
  opened = 0;

  blockedSource = 0;
  blockedDestination = 0;
  unknownPrefix = 0;
  short = 0;
  badMagic = 0;
  badVersion = 0;
  payloadLengthTooLarge = 0;
  eventCountTooLarge = 0;
  /** Keep-alives of punched paths: of nodes that nobody awaits, of those that are awaited, and this node's own. */
  keepAliveIgnored = 0;
  keepAliveTaken = 0;
  keepAliveSent = 0;
  /** Pingwaves: sent, also those of others; taken, repetitions over other paths included; dropped, for whatever reason. */
  pingwavesSent = 0;
  pingwaveTaken = 0;
  pingwaveDropped = 0;
  /** Copies of pingwaves that were not passed on because their origin is farther than floods reach. */
  pingwaveScoped = 0;
  /** Lookups of this node that have found the way to a node, and those that have not. */
  lookupsFound = 0;
  lookupsFailed = 0;
  /** Messages about ways to nodes: requests sent, own and passed on, and answers. */
  lookupRequestsSent = 0;
  lookupAnswersSent = 0;
  /** Those dropped: of no neighbour, over the budget, known already, at the end of their way, not asked for, not of whom they say. */
  lookupRefused = 0;
  lookupLimited = 0;
  lookupRepeated = 0;
  lookupExhausted = 0;
  lookupUnsolicited = 0;
  lookupForged = 0;
  /** Plain pingwaves from the address of a neighbour that sends sealed ones. */
  pingwaveForged = 0;

  routedExpired = 0;
  routedNoRoute = 0;
  routedStranger = 0;
  routedBounce = 0;
  routedNested = 0;
  routedHeartbeat = 0;
  /** Packets of others for which there was no room while the transport was behind. */
  routedRefused = 0;

  handshakeUnsolicited = 0;
  handshakeBad = 0;
  handshakeReplay = 0;
  handshakeRefused = 0;
  handshakeIdMismatch = 0;
  /** Repetitions of an answered message that came too soon for another answer. */
  handshakeRepeatLimited = 0;
  /** Over the budget: messages without a stamp, of members, and of members that have proven their address. */
  handshakePaced = 0;
  handshakeStampedPaced = 0;
  handshakeProvenPaced = 0;
  /** Messages of members that were answered with a cookie under load, and those that were one too many for that. */
  handshakeChallenged = 0;
  handshakeChallengeLimited = 0;
  /** Dropped because too many waited. */
  handshakeQueueFull = 0;
  /** Cookies that this node was given, and what was sent as one but is none. */
  handshakeCookieTaken = 0;
  handshakeCookieBad = 0;
  /** Refused for want of forward secrecy, which this node requires. */
  handshakeInsecure = 0;
  /** Would have given a session an id that is in use, or 0. */
  handshakeSessionId = 0;
  /** Left unanswered because this node's own handshake with that peer goes through. */
  handshakeCrossed = 0;
  handshakesCompleted = 0;

  /** Proofs of identity: good, wrong, and one too many to be verified at the time. */
  identityProven = 0;
  identityForged = 0;
  identityLimited = 0;
  /** Packets of a new session that has to prove first that it is the same peer's. */
  identityUnproven = 0;

  noSession = 0;
  heartbeatLength = 0;
  heartbeatAuth = 0;
  heartbeatReplay = 0;
  badLength = 0;
  authFailed = 0;
  replay = 0;
  /** Packets of a key epoch that the session does not hold: of one long past, or forged. */
  epochUnknown = 0;
  framesShort = 0;
  controlMalformed = 0;
  controlQuarantined = 0;
  controlUnknownStream = 0;
  /** Messages of subprotocols that the engine knows and this node does not deal with. */
  handlerMissing = 0;
  /** Messages of subprotocols to and from the application. */
  messagesSent = 0;
  messagesReceived = 0;
  /** Messages about daemons that reached a node that runs none. */
  daemonMessagesUnwanted = 0;

  /** Announcements of capabilities: sent as this node's own, passed on, taken, expired without being renewed. */
  announcementsSent = 0;
  announcementsForwarded = 0;
  /** Announcements of others that were not passed on: with their hops they have more than 8104 bytes. */
  announcementTooLarge = 0;
  /** Copies of announcements that were not passed on because their author is farther than floods reach. */
  announcementScoped = 0;
  announcementsTaken = 0;
  announcementsExpired = 0;
  /** Announcements dropped: over the budget, no announcement, of the wrong sender or too far travelled, known already, without
   * signature, with a wrong one or of another entity, too old. */
  announcementLimited = 0;
  announcementMalformed = 0;
  announcementRefused = 0;
  announcementRepeated = 0;
  announcementUnsigned = 0;
  announcementForged = 0;
  announcementStale = 0;

  /** Messages of membership that are none, and answers to what was not asked, or not of their sender. */
  membershipMalformed = 0;
  membershipUnsolicited = 0;
  /** Requests of this node sent again, and repeated ones of others that were answered as before. */
  membershipResent = 0;
  membershipRepeated = 0;
  /** Requests that nothing could be said to yet: the peer has not proven who it is, or too much was to be verified. */
  membershipDeferred = 0;
  /** Questions of subscribers how far a channel is: answered, of nobody who may know, and not answered yet. */
  positionsAnswered = 0;
  positionsRefused = 0;
  positionsDeferred = 0;
  /** Requests to subscribe here: accepted, renewals included, and refused. */
  subscribersAccepted = 0;
  subscribersRefused = 0;
  /** Subscribers that lost their place: their token has ended or was revoked, or the channel is another one now. */
  subscribersRevoked = 0;
  /** Subscriptions of this node that were lost, and those that it has got back. */
  subscriptionsLost = 0;
  resubscribed = 0;
  /** Legs of publications: handed over, failed, and left out because the subscriber's subnet may not see them. */
  published = 0;
  publishFailed = 0;
  publishFiltered = 0;

  reliableDuplicate = 0;
  reliableOutOfWindow = 0;
  streamLimit = 0;
  receiveQueueFull = 0;

  backpressureCredit = 0;
  backpressureCongestion = 0;
  outboxFull = 0;
  retransmitNack = 0;
  retransmitTimeout = 0;
  retransmitGiveUp = 0;
  streamResetSent = 0;
  streamResetReceived = 0;
  nacksSent = 0;
  grantsSent = 0;
  addressMigrations = 0;

  /** Paths whose peer was silent for longer than it should be, and those over which nobody has answered then. */
  pathsSuspected = 0;
  pathsFailed = 0;
  /** Times that a session has left a failing path, and times that it has found a better one. */
  pathsHealed = 0;
  pathsImproved = 0;
  /** Sessions that have gone where their peer has gone, and that have not because nobody answered there. */
  pathsFollowed = 0;
  pathsNotFollowed = 0;
  /** Failures of neighbours that have sent packets of others on detours. */
  neighborReroutes = 0;
  /** Pings of paths: sent, answered here, one too many to be answered here. */
  pathPingsSent = 0;
  pathPingsAnswered = 0;
  pathPingLimited = 0;
  /** Answers to pings that nobody waits for any more. */
  pathPingIgnored = 0;

  /** Probes of a path's size: sent, unanswered in time, answered here, one too many to be answered here. */
  pathProbesSent = 0;
  pathProbesLost = 0;
  pathProbesAnswered = 0;
  pathProbeLimited = 0;
  /** Answers to nothing that was asked at the time. */
  pathProbeIgnored = 0;
  /** Times that the datagrams of a session have become larger, and times that they no longer passed. */
  pathMtuRaised = 0;
  pathBlackHoles = 0;
  /** Packets larger than their path's datagrams: sent in parts, put together from parts, sent whole for want of better. */
  packetsParted = 0;
  packetsAssembled = 0;
  oversizeSent = 0;

  /** Times that a session began to seal with a new key. */
  rekeys = 0;
  /** Messages about new keys that fit nothing: for a past epoch, with a second key for one, of the wrong side. */
  rekeyIgnored = 0;
  /** Put off for coming too fast. */
  rekeyPaced = 0;
}
