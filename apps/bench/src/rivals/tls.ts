import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { connect, createServer, type Server, type TLSSocket } from "node:tls";
import { FrameReader, frame } from "./length-prefix.ts";
import { type End, type EndSettings, ignoreEvent, type Link, type Rival } from "./rival.ts";

/** netmesh's own AEAD, with an ephemeral X25519 exchange; a pre-shared key instead of certificates. */
const CIPHERS = "ECDHE-PSK-CHACHA20-POLY1305";
/** Cipher suites with a pre-shared key and no certificate end with TLS 1.2 in Node. */
const VERSION = "TLSv1.2";
/** Same as the window of the netmesh streams. */
const HIGH_WATER_MARK = 1 << 20;
/** Documented for `connect`, and missing from its types. */
const CLIENT_BUFFER: object = { highWaterMark: HIGH_WATER_MARK };

/** TLS over TCP: one `write` per event, each with its length before it. Node joins writes that wait into one. */
export class Tls implements Rival {
  async open({ secret }: EndSettings): Promise<End> {
    const psk = Buffer.from(secret, "hex");
    const sockets = new Set<TLSSocket>();
    let server: Server | undefined;
    const toLink = (socket: TLSSocket) => {
      sockets.add(socket);
      socket.once("close", () => sockets.delete(socket));
      return new TlsLink(socket);
    };
    return {
      async listen(onLink) {
        server = createServer(
          {
            ciphers: CIPHERS,
            minVersion: VERSION,
            maxVersion: VERSION,
            highWaterMark: HIGH_WATER_MARK,
            noDelay: true,
            pskCallback: () => psk,
          },
          (socket) => onLink(toLink(socket)),
        );
        server.listen(0, "127.0.0.1");
        await once(server, "listening");
        return { host: "127.0.0.1", port: (server.address() as AddressInfo).port };
      },
      async connect({ host, port }) {
        const socket = connect({
          host,
          port,
          ciphers: CIPHERS,
          minVersion: VERSION,
          maxVersion: VERSION,
          ...CLIENT_BUFFER,
          pskCallback: () => ({ psk, identity: "bench" }),
          checkServerIdentity: () => undefined,
        });
        socket.setNoDelay(true);
        await once(socket, "secureConnect");
        return toLink(socket);
      },
      async close() {
        for (const socket of sockets) socket.destroy();
        server?.close();
      },
    };
  }
}

class TlsLink implements Link {
  onEvent: (event: Uint8Array) => void = ignoreEvent;
  readonly #socket: TLSSocket;

  constructor(socket: TLSSocket) {
    this.#socket = socket;
    const reader = new FrameReader((event) => this.onEvent(event));
    socket.on("data", (chunk) => reader.push(chunk));
    // The other side is a process that may be stopped at any time; what is missing then is counted.
    socket.on("error", ignoreEvent as () => void);
  }

  send(event: Uint8Array): Promise<void> | undefined {
    return this.#socket.write(frame(event)) ? undefined : this.#drained();
  }

  packetsSent(): undefined {
    return undefined;
  }

  async #drained(): Promise<void> {
    await once(this.#socket, "drain");
  }
}
