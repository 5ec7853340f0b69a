import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setImmediate as nextTurn } from "node:timers/promises";
import {
  type Contact,
  type End,
  type EndSettings,
  ignoreEvent,
  type Link,
  type Relay,
  type Rival,
} from "./rival.ts";

/** What netmesh asks for by default, so that neither has the larger buffer. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
/** Datagrams after which a sender lets its event loop turn. */
const BURST = 64;
/** First datagram of a link that goes through a forwarder: tells it where the listener is. */
const HELLO: Uint8Array = new Uint8Array([0]);

/** Plain UDP: one event per datagram, nothing encrypted, nothing repaired. The most that `node:dgram` gives. */
export class Dgram implements Rival {
  async open({ relay }: EndSettings): Promise<End> {
    const socket = await bind();
    return {
      async listen(onLink) {
        if (relay !== undefined) await connect(socket, relay);
        let link: DatagramLink | undefined;
        socket.on("message", (event, { port, address: host }) => {
          if (link === undefined) {
            link = new DatagramLink(socket, relay === undefined ? { host, port } : undefined);
            onLink(link);
          }
          link.onEvent(event);
        });
        if (relay !== undefined) socket.send(HELLO);
        return { host: "127.0.0.1", port: socket.address().port };
      },
      async connect(contact) {
        await connect(socket, relay ?? contact);
        const link = new DatagramLink(socket, undefined);
        socket.on("message", (event) => link.onEvent(event));
        return link;
      },
      async close() {
        socket.close();
      },
    };
  }

  /** Passes every datagram on to the one who said hello; that one's go to the last other sender. */
  async relay(): Promise<Relay> {
    const socket = await bind();
    let listenerPort: number | undefined;
    let otherPort: number | undefined;
    let forwarded = 0;
    socket.on("message", (datagram, { port }) => {
      if (datagram.length === HELLO.length) {
        listenerPort = port;
        return;
      }
      if (port !== listenerPort) otherPort = port;
      const to = port === listenerPort ? otherPort : listenerPort;
      if (to === undefined) return;
      forwarded++;
      socket.send(datagram, to, "127.0.0.1");
    });
    return {
      contact: { host: "127.0.0.1", port: socket.address().port },
      forwarded: () => forwarded,
      async close() {
        socket.close();
      },
    };
  }
}

class DatagramLink implements Link {
  onEvent: (event: Uint8Array) => void = ignoreEvent;
  readonly #socket: Socket;
  /** Undefined on a connected socket. */
  readonly #to: Contact | undefined;
  #sent = 0;

  constructor(socket: Socket, to: Contact | undefined) {
    this.#socket = socket;
    this.#to = to;
  }

  send(event: Uint8Array): Promise<void> | undefined {
    if (this.#to === undefined) this.#socket.send(event);
    else this.#socket.send(event, this.#to.port, this.#to.host);
    return ++this.#sent % BURST === 0 ? this.#room() : undefined;
  }

  packetsSent(): number {
    return this.#sent;
  }

  async #room(): Promise<void> {
    do await nextTurn();
    while (this.#socket.getSendQueueCount() > BURST);
  }
}

async function bind(): Promise<Socket> {
  const socket = createSocket({
    type: "udp4",
    // Addresses are literal: answering at once keeps sends synchronous.
    lookup: (literal, _options, callback) => callback(null, literal, 4),
  });
  // A refused datagram, when the other side has gone, is a lost one.
  socket.on("error", ignoreEvent as () => void);
  // Both events come at once, before there is a promise to wait for.
  const listening = once(socket, "listening");
  socket.bind(0, "127.0.0.1");
  await listening;
  socket.setRecvBufferSize(SOCKET_BUFFER_BYTES);
  socket.setSendBufferSize(SOCKET_BUFFER_BYTES);
  return socket;
}

async function connect(socket: Socket, { host, port }: Contact): Promise<void> {
  const connected = once(socket, "connect");
  socket.connect(port, host);
  await connected;
}
