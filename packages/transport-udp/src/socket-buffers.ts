import { systemCodeOf, toTransportError } from "./transport-error.ts";

/** Kernel buffers asked for unless told otherwise: 4 MiB, Linux's usual limit is at or below it. */
export const DEFAULT_BUFFER_BYTES: number = 4 * 1024 * 1024;

/** The least a request is halved to when the kernel has no memory for more: 256 KiB. */
export const MIN_BUFFER_BYTES: number = 256 * 1024;

/** Sizes of a socket's kernel buffers, in bytes. */
export interface SocketBuffers {
  readonly receiveBufferBytes: number;
  readonly sendBufferBytes: number;
}

/** 256 KiB each way: for tests that open dozens of sockets. */
export const testing: SocketBuffers = {
  receiveBufferBytes: MIN_BUFFER_BYTES,
  sendBufferBytes: MIN_BUFFER_BYTES,
};

/**
 * Asks for a kernel buffer. Linux grants less without an error, BSD refuses with ENOBUFS: then half is
 * asked for, and so on down to {@link MIN_BUFFER_BYTES} (transport §2.2).
 *
 * @throws TransportError `socket` when even that is refused, or for any other reason.
 */
export function requestBuffer(request: (bytes: number) => void, wantedBytes: number): void {
  for (let bytes = wantedBytes; ; bytes = Math.max(MIN_BUFFER_BYTES, bytes >> 1)) {
    try {
      request(bytes);
      return;
    } catch (error) {
      if (systemCodeOf(error) === "ENOBUFS" && bytes > MIN_BUFFER_BYTES) continue;
      throw toTransportError(error, `asking for a socket buffer of ${bytes} bytes`);
    }
  }
}
