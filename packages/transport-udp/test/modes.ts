import { networkInterfaces } from "node:os";
import { it } from "vitest";
import { type TransportOptions, UdpTransport } from "../src/index.ts";

/** A way to run a transport, by the name that tests show. */
export interface Mode {
  readonly name: string;
  readonly options: TransportOptions;
}

const { fallback } = await UdpTransport.bind("127.0.0.1:0").then(async (transport) => {
  await transport.close();
  return transport.stats();
});

if (fallback !== undefined) it.skip(`batched sockets are not tested: ${fallback.reason}`, () => {});

/** Every way that runs on this machine. */
export const modes: readonly Mode[] = [
  { name: "portable", options: { mode: "portable" } },
  ...(fallback === undefined
    ? ([
        { name: "batched", options: { mode: "batched", offload: false } },
        { name: "batched with offload", options: { mode: "batched" } },
      ] as const)
    : []),
];

/** Those that need Linux and koffi. */
export const batchedModes: readonly Mode[] = modes.filter(({ options }) => options.mode === "batched");

const hasIpv6 = Object.values(networkInterfaces()).some((each) =>
  each?.some(({ address }) => address === "::1"),
);

if (!hasIpv6) it.skip("IPv6 is not tested: this machine has no ::1", () => {});

/** Loopback addresses of the families that this machine has. */
export const loopbacks: readonly string[] = hasIpv6 ? ["127.0.0.1:0", "[::1]:0"] : ["127.0.0.1:0"];
