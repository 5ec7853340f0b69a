import type { Peer } from "@netmesh/sdk";
import type { Finding } from "./finding.ts";

/** A search for the size is taken for ended when nothing has changed for so long: three probes, and what they take. */
const SETTLED_MS = 3_500;
const PATIENCE_MS = 15_000;
const POLL_MS = 100;
/** What every path is taken to carry. */
const BASE_BYTES = 1_200;

/** What datagrams on the way to a peer may have. */
export async function checkPathMtu(peer: Peer): Promise<Finding> {
  const startMs = performance.now();
  let bytes = peer.datagramBytes;
  let sinceMs = startMs;
  // On loopback the size is known from the beginning.
  while (bytes <= BASE_BYTES * 2) {
    const nowMs = performance.now();
    if (peer.datagramBytes !== bytes) sinceMs = nowMs;
    bytes = peer.datagramBytes;
    if (nowMs - sinceMs >= SETTLED_MS || nowMs - startMs >= PATIENCE_MS) break;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  const { address } = peer;
  return {
    check: "mtu",
    status: bytes > BASE_BYTES ? "ok" : "warning",
    summary: `datagrams of ${bytes} bytes reach ${address}`,
    ...(bytes > BASE_BYTES
      ? {}
      : { cause: `nothing larger than ${BASE_BYTES} bytes gets through to ${address}` }),
    details: { address, datagramBytes: bytes },
  };
}
