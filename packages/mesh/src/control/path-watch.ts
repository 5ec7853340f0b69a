import type { WatchedPeer } from "@netmesh/routing";
import type { Path, Session } from "../session/session.ts";

/** What a ping asked about. */
export interface AskedPath {
  readonly path: Path;
  readonly sentMs: number;
  /**
   * Whether the session moves there when the answer comes, also when its present path is well: because the path is better, or because
   * the peer has gone there.
   */
  readonly purpose: "watch" | "better" | "follow";
}

/** Where the peer's packets come from now, and nobody has answered yet. */
export interface FollowedPath {
  readonly path: Path;
  /** The path before has failed for the peer. */
  hasFailed: boolean;
  asksLeft: number;
}

/** What a watch needs of its maker. */
export interface PathWatchOwner {
  /** The path is in use from now on. */
  onUsed(watch: PathWatch): void;
  /** What goes over the path seems to get lost. */
  onMissed(watch: PathWatch): void;
}

/** Pings of a session whose answers are waited for; the oldest makes room. */
const MAX_ASKED = 32;

/** How a session's path fares: whether the peer answers over it. Written by `Liveness`. */
export class PathWatch {
  readonly session: Session;
  /** Pause between signs of life that is asked for while the path is in use, in milliseconds. */
  readonly beatMs: number;
  /** Expects heartbeats. */
  readonly idle: WatchedPeer;
  /** Expects a sign of life every beat while the path is in use; of netmesh peers only, which answer pings. */
  readonly active: WatchedPeer | undefined;
  status: "healthy" | "suspected" | "failed" = "healthy";
  /** When it was last well, while it is not. */
  suspectedMs = 0;
  /** Whether something was sent lately. */
  isActive = false;
  /** When something was last sent that is no mere sign of life. */
  usedMs: number = Number.NEGATIVE_INFINITY;
  /** When the last answer to a ping over this path arrived. */
  answeredMs: number = Number.NEGATIVE_INFINITY;
  nextPingMs: number = Number.POSITIVE_INFINITY;
  /** The peer has not been heard to know yet that the session has moved. */
  isMoving = false;
  /** It has moved because its path before failed. */
  hasFailed = false;
  movedMs: number = Number.NEGATIVE_INFINITY;
  /** The peer has gone there; the session goes, too, once the peer answers there. */
  following: FollowedPath | undefined;
  readonly asked: Map<number, AskedPath> = new Map();
  /** Since when an answer is wanted although the peer is heard, `Infinity` when none is. */
  wantsAnswerSinceMs: number = Number.POSITIVE_INFINITY;
  readonly #owner: PathWatchOwner;

  constructor(
    session: Session,
    beatMs: number,
    idle: WatchedPeer,
    active: WatchedPeer | undefined,
    owner: PathWatchOwner,
  ) {
    this.session = session;
    this.beatMs = beatMs;
    this.idle = idle;
    this.active = active;
    this.#owner = owner;
  }

  /** Something goes over the path to which an answer, or the peer's own traffic, can be expected. */
  used(nowMs: number): void {
    this.usedMs = nowMs;
    if (!this.isActive && this.active !== undefined) this.#owner.onUsed(this);
  }

  /** Nobody has acknowledged what was sent over the path, nor its first repairs, whatever the peer sends meanwhile. */
  missed(): void {
    if (this.wantsAnswerSinceMs === Number.POSITIVE_INFINITY && this.active !== undefined)
      this.#owner.onMissed(this);
  }

  /** Remembers a ping. */
  ask(id: number, asked: AskedPath): void {
    if (this.asked.size >= MAX_ASKED) this.asked.delete(this.asked.keys().next().value as number);
    this.asked.set(id, asked);
  }
}
