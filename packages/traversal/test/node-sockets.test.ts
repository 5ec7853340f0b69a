import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { openConnected } from "../src/node/gateway-sockets.ts";
import { deviceHttp, noticeSocket, SystemMapper, searchSockets, systemTimers } from "../src/node/index.ts";

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

const never = () => new AbortController().signal;

async function served(listener: RequestListener): Promise<number> {
  const server = createServer(listener).listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

function get(port: number, signal = never(), maxBytes = 1000) {
  return deviceHttp.request({
    method: "GET",
    host: "127.0.0.1",
    port,
    path: "/x",
    headers: {},
    body: "",
    maxBytes,
    signal,
  });
}

describe("a request to a device", () => {
  it("comes back with status, body and our own address", async () => {
    const port = await served((request, response) => {
      request
        .on("data", (body) => response.end(`${request.method} ${request.headers["soapaction"]} ${body}`))
        .resume();
    });
    const headers = { SOAPAction: '"a#b"' };
    const asked = {
      method: "POST",
      host: "127.0.0.1",
      port,
      path: "/x",
      headers,
      body: "ö",
      maxBytes: 99,
    } as const;
    const answer = await deviceHttp.request({ ...asked, signal: never() });
    expect(new TextDecoder().decode(answer.body)).toBe('POST "a#b" ö');
    expect(answer).toMatchObject({ status: 200, isCut: false, localHost: "127.0.0.1" });
  });

  it("is cut at the limit, however much the device sends", async () => {
    let isClosed = false;
    const port = await served((_, response) => {
      response.on("close", () => {
        isClosed = true;
      });
      const more = (): void => {
        while (!isClosed && response.write(Buffer.alloc(65_536)));
      };
      response.on("drain", more);
      more();
    });
    const answer = await get(port);
    expect([answer.isCut, answer.body.length]).toEqual([true, 1000]);
    await expect.poll(() => isClosed).toBe(true);
  });

  it("follows no redirect", async () => {
    let elsewhere = 0;
    const target = await served((_, response) => {
      elsewhere += 1;
      response.end();
    });
    const port = await served((_, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${target}/` }).end();
    });
    expect((await get(port)).status).toBe(302);
    expect(elsewhere).toBe(0);
  });

  it("ends with its signal although the device drips byte by byte", async () => {
    let isClosed = false;
    const controller = new AbortController();
    const port = await served((_, response) => {
      response.write("<");
      response.on("close", () => {
        isClosed = true;
      });
      controller.abort(new Error("too slow"));
    });
    await expect(get(port, controller.signal)).rejects.toThrow("too slow");
    await expect.poll(() => isClosed).toBe(true);
  });

  it("ends with its signal although the device says nothing at all", async () => {
    const controller = new AbortController();
    const server = createTcpServer(() => controller.abort(new Error("silence"))).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => server.close());
    await expect(get((server.address() as AddressInfo).port, controller.signal)).rejects.toThrow("silence");
  });

  it("fails as transport where nobody listens, or something else answers", async () => {
    await expect(get(1)).rejects.toMatchObject({ kind: "transport" });
    const server = createTcpServer((socket) => socket.end("220 hello\r\n")).listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => server.close());
    await expect(get((server.address() as AddressInfo).port)).rejects.toMatchObject({ kind: "transport" });
  });
});

describe("a socket to the gateway", () => {
  it("knows its own address and hears only whom it asked", async () => {
    const [gateway, stranger] = [createSocket("udp4"), createSocket("udp4")];
    cleanups.push(
      () => gateway.close(),
      () => stranger.close(),
    );
    gateway.bind(0, "127.0.0.1");
    await once(gateway, "listening");
    const heard: string[] = [];
    const { promise, resolve } = deferred();
    const channel = await openConnected("127.0.0.1", gateway.address().port, {
      received: (bytes, host, port) => {
        heard.push(`${Buffer.from(bytes)} ${host} ${port}`);
        resolve();
      },
      failed: () => {},
    });
    cleanups.push(() => channel.close());
    expect(channel.localHost).toBe("127.0.0.1");
    const asked = once(gateway, "message");
    channel.send(Buffer.from("question"));
    const [, from] = await asked;
    await new Promise((done) => stranger.send("forged", from.port, from.address, done));
    gateway.send("answer", from.port, from.address);
    await promise;
    expect(heard).toEqual([`answer 127.0.0.1 ${gateway.address().port}`]);
    channel.close();
  });

  it("reports a closed port at once", async () => {
    const { promise, resolve } = deferred<Error>();
    const channel = await openConnected("127.0.0.1", 1, { received: () => {}, failed: resolve });
    cleanups.push(() => channel.close());
    channel.send(new Uint8Array(2));
    expect((await promise).message).toContain("ECONNREFUSED");
  });
});

describe("the sockets of this system", () => {
  it("for notices are shared, and closed as often as one likes", async () => {
    const stops = [noticeSocket.listen(() => {}), noticeSocket.listen(() => {})];
    for (const stop of [...stops, ...stops]) expect(stop).not.toThrow();
  });

  it("for searches are one per interface, none of them loopback", async () => {
    const channels = await searchSockets.open(() => {});
    for (const channel of channels) channel.close();
    expect(channels.every(({ localHost }) => !localHost.startsWith("127."))).toBe(true);
  });

  it("for time go forward and can be cancelled", async () => {
    const start = systemTimers.now();
    let isCalled = false;
    systemTimers.cancel(
      systemTimers.after(0, () => {
        isCalled = true;
      }),
    );
    await new Promise<void>((resolve) => void setTimeout(resolve, 5));
    expect(isCalled).toBe(false);
    expect(systemTimers.now()).toBeGreaterThan(start);
  });
});

describe("a mapper for this system", () => {
  it("refuses a gateway that is no address", () => {
    expect(() => new SystemMapper({ gateway: "router" })).toThrow("gateway router");
  });

  it("has nothing to offer before it has looked", async () => {
    const mapper = new SystemMapper();
    await expect(mapper.install(9001, 1000)).rejects.toMatchObject({ kind: "unavailable" });
    expect([mapper.variant, mapper.counters.timeouts]).toEqual([undefined, 0]);
    expect(() => mapper.watch(() => {})()).not.toThrow();
  });

  it("finds nothing behind a closed port without UPnP", async () => {
    const mapper = new SystemMapper({ gateway: "127.0.0.1", protocols: ["pcp", "nat-pmp"] });
    await expect(mapper.probe()).rejects.toMatchObject({ kind: "unavailable" });
  });
});

function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
