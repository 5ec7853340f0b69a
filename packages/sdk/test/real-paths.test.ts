import { UdpTransport } from "@netmesh/transport-udp";
import { describe, type ExpectStatic, it } from "vitest";
import { Chain, type ChainOptions, type End, noChains } from "./chain.ts";

const isBatched = await UdpTransport.bind("127.0.0.1:0", { mode: "batched" }).then(
  (socket) => socket.close().then(() => true),
  () => false,
);
const absence = noChains ?? (isBatched ? undefined : "batched sockets do not run on this machine");

/** The last step of a search (docs/protocol/path-mtu.md). */
const STEP = 32;
/** What a search may take: three seconds for each size that does not pass. */
const SEARCH_MS = 45_000;
/** Of each test: ten processes at a time start, connect and search on two cores, beside other tests. */
const LIMITS = { timeout: 2 * SEARCH_MS };

interface State {
  readonly datagramBytes: number;
  readonly socket: {
    readonly sendErrors: Record<string, number>;
    readonly networkErrors: Record<string, number>;
  };
}

interface Path extends ChainOptions {
  readonly name: string;
  /** The largest datagram that passes whole, or that is searched for. */
  readonly limit: number;
  /** Settings of both ends. */
  readonly settings?: object;
}

const paths: readonly Path[] = [
  { name: "Ethernet", mtus: [1_500], family: 4, limit: 1_472 },
  { name: "Ethernet with IPv6", mtus: [1_500], family: 6, limit: 1_452 },
  { name: "jumbo frames", mtus: [9_000], family: 4, limit: 8_192 },
  { name: "a tunnel behind routers", mtus: [1_500, 1_400, 1_500], family: 4, limit: 1_372 },
  { name: "a tunnel that swallows", mtus: [1_500, 1_400, 1_500], family: 4, limit: 1_372, reports: false },
  {
    name: "a tunnel that swallows, with IPv6",
    mtus: [9_000, 1_400, 9_000],
    family: 6,
    limit: 1_352,
    reports: false,
  },
  { name: "a narrow place between jumbo frames", mtus: [9_000, 4_000, 9_000], family: 4, limit: 3_972 },
  {
    name: "a tunnel, from a socket of both families",
    mtus: [1_500, 1_400, 1_500],
    family: 4,
    limit: 1_372,
    settings: { bind: "[::]" },
  },
  {
    name: "jumbo frames from a socket that cannot forbid fragments",
    mtus: [9_000],
    family: 4,
    limit: 1_472,
    settings: { socket: { mode: "portable" } },
  },
];

/** Sends bytes on a stream and expects them at the other end. `expect` is the test's own: others run at the same time. */
async function transfer(expect: ExpectStatic, from: End, to: End, bytes: number): Promise<void> {
  const [{ hash: sent }, { hash: received }] = await Promise.all([
    from.ask<{ hash: string }>({ send: bytes }),
    to.ask<{ hash: string }>({ receive: null }),
  ]);
  expect(received).toBe(sent);
}

describe.skipIf(absence !== undefined)(
  `datagrams over real links${absence === undefined ? "" : ` (not tested: ${absence})`}`,
  () => {
    it.concurrent.for(paths)(
      "grow to what passes whole over $name, and nothing is cut",
      LIMITS,
      async ({ limit, settings, ...options }, { expect }) => {
        await using chain = await Chain.create(options);
        const [a, b] = await Promise.all([chain.start("first", settings), chain.start("last", settings)]);
        await a.ask({ connect: await b.started });
        const state = (): Promise<State> => a.ask<State>({ state: null });
        await expect
          .poll(async () => (await state()).datagramBytes, { interval: 100, timeout: SEARCH_MS })
          .toBeGreaterThan(options.mtus.length > 1 ? limit - STEP : limit - 1);
        await transfer(expect, a, b, 2_000_000);
        const { datagramBytes, socket } = await state();
        expect(datagramBytes).toBeLessThanOrEqual(limit);
        expect(await chain.fragments()).toEqual({ made: 0, received: 0 });
        const isReported = options.mtus.length > 1 && options.reports !== false;
        expect(socket.networkErrors["EMSGSIZE"] ?? 0).toEqual(
          isReported ? expect.toSatisfy((count) => count > 0) : 0,
        );
      },
    );

    it.concurrent(
      "are counted and lost when the device does not take them, and what is smaller arrives",
      LIMITS,
      async ({ expect }) => {
        await using chain = await Chain.create({ mtus: [1_500], family: 4 });
        const [a, b] = await Promise.all([chain.start("first"), chain.start("last")]);
        await a.ask({ connect: await b.started });
        await expect
          .poll(async () => (await a.ask<State>({ state: null })).socket.sendErrors, {
            interval: 100,
            timeout: SEARCH_MS,
          })
          .toMatchObject({ EMSGSIZE: expect.toSatisfy((count) => count > 0) });
        await transfer(expect, a, b, 500_000);
      },
    );

    it.concurrent("are cut where that is allowed", LIMITS, async ({ expect }) => {
      await using chain = await Chain.create({ mtus: [1_500], family: 4 });
      const settings = { datagramBytes: 8_192, socket: { fragments: true } };
      const [a, b] = await Promise.all([chain.start("first", settings), chain.start("last", settings)]);
      await a.ask({ connect: await b.started });
      await transfer(expect, a, b, 500_000);
      const { made, received } = await chain.fragments();
      expect(made).toBeGreaterThan(0);
      expect(received).toBe(made);
    });
  },
);
