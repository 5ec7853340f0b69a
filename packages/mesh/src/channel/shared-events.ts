import {
  decodeEventFrames,
  encodeEventFrames,
  eventFramesSize,
  MAX_EVENTS_PER_PACKET,
  MAX_PAYLOAD_SIZE,
} from "@netmesh/wire";

/** Events that several streams send. Nobody changes their bytes once they are given to the first. */
export class SharedEvents {
  readonly events: readonly Uint8Array[];
  /** All of them as the plain text of one packet, encoded once; undefined when they do not fit one. */
  readonly frames: Uint8Array | undefined;

  /** Copies events that fit one packet; borrows others for as long as they are written. */
  constructor(events: readonly Uint8Array[]) {
    const fits = events.length <= MAX_EVENTS_PER_PACKET && eventFramesSize(events) <= MAX_PAYLOAD_SIZE;
    this.frames = fits ? encodeEventFrames(events) : undefined;
    this.events = this.frames === undefined ? events : decodeEventFrames(this.frames, events.length);
  }
}
