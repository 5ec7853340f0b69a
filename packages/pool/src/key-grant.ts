import { copyBytes } from "@netmesh/wire";

/** Whatever a message with a transfer list can be posted to: a worker or a message port, in Node or a browser. */
export interface PostTarget {
  /** Posts `message`; the buffers in `transfer` move and are gone here. */
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
}

/**
 * Posts a message with a copy of `key` to another thread. The copy's buffer moves instead of being cloned, so
 * that none stays behind; if it did not move it is wiped.
 */
export function postKey(target: PostTarget, key: Uint8Array, message: (moved: Uint8Array) => unknown): void {
  const moved = copyBytes(key);
  try {
    target.postMessage(message(moved), [moved.buffer as ArrayBuffer]);
  } finally {
    if (moved.length > 0) moved.fill(0); // a target that did not move it, or failed
  }
}
