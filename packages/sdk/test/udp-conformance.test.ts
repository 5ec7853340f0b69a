import type { Transport } from "@netmesh/mesh";
import { transportConformance } from "@netmesh/mesh/testing";
import { type TransportOptions, testing, UdpTransport } from "@netmesh/transport-udp";
import { describe, expect, it } from "vitest";

/** Loopback hands a datagram over at once; this leaves it several turns of the event loop. */
const SETTLE_MS = 30;

const hasIpv6 = await UdpTransport.bind("[::1]:0").then(
  (socket) => socket.close().then(() => true),
  () => false,
);
const isBatched = await UdpTransport.bind("127.0.0.1:0", { mode: "batched" }).then(
  (socket) => socket.close().then(() => true),
  () => false,
);

if (!hasIpv6) it.skip("IPv6 is not tested: this machine has no ::1", () => {});
if (!isBatched) it.skip("batched sockets are not tested: they do not run on this machine", () => {});

const portable: Record<string, TransportOptions> = { "portable UDP": { mode: "portable" } };
const batched: Record<string, TransportOptions> = {
  "batched UDP": { mode: "batched", offload: false },
  "batched UDP with offload": { mode: "batched" },
};

for (const [name, options] of Object.entries(isBatched ? { ...portable, ...batched } : portable)) {
  for (const bind of hasIpv6 ? ["127.0.0.1:0", "[::1]:0"] : ["127.0.0.1:0"]) {
    transportConformance(
      `${name} on ${bind}`,
      async () => {
        const a = await UdpTransport.bind(bind, { ...testing, ...options });
        const b = await UdpTransport.bind(bind, { ...testing, ...options });
        // The engine's interface, met without either package knowing the other.
        const pair: { a: Transport; b: Transport } = { a, b };
        return {
          ...pair,
          settle: () => new Promise((resolve) => setTimeout(resolve, SETTLE_MS)),
          async close() {
            await a.close();
            await b.close();
          },
        };
      },
      { describe, it, expect },
    );
  }
}
