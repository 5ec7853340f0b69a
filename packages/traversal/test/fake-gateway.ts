import type { ChannelListener, GatewayChannel, GatewayChannels, NoticeSource } from "../src/index.ts";
import type { VirtualTimers } from "./virtual-timers.ts";

/** What a gateway does with a request; `reply` sends from the gateway's port unless told otherwise. */
export type Behaviour = (
  request: Uint8Array,
  reply: (bytes: Uint8Array | string, host?: string, port?: number) => void,
) => void;

/** A gateway at 192.168.1.1 in virtual time, as scripted as a test wants it. */
export class FakeGateway implements GatewayChannels, NoticeSource {
  readonly address = "192.168.1.1";
  localHost = "192.168.1.10";
  behaviour: Behaviour = () => {};
  /** Everything that was sent, in hexadecimal, with its time. */
  readonly sent: { readonly atMs: number; readonly hex: string }[] = [];
  /** Sockets that are open now. */
  openSockets = 0;
  #notice: ((bytes: Uint8Array, host: string, port: number) => void) | undefined;
  readonly #timers: VirtualTimers;

  constructor(timers: VirtualTimers) {
    this.#timers = timers;
  }

  async open(_gateway: string, listener: ChannelListener): Promise<GatewayChannel> {
    this.openSockets += 1;
    let isClosed = false;
    return {
      localHost: this.localHost,
      send: (bytes: Uint8Array) => {
        this.sent.push({ atMs: this.#timers.now(), hex: Buffer.from(bytes).toString("hex") });
        this.#listenerFailed = (error) => listener.failed(error);
        this.behaviour(bytes, (answer, host = this.address, port = 5351) => {
          this.#timers.after(1, () => {
            if (!isClosed) listener.received(bytesOf(answer), host, port);
          });
        });
      },
      close: () => {
        isClosed = true;
        this.openSockets -= 1;
      },
    };
  }

  #listenerFailed: (error: Error) => void = () => {};

  /** What the system reports when the gateway's port is closed. */
  refuse(): void {
    this.#listenerFailed(new Error("ECONNREFUSED"));
  }

  listen(received: (bytes: Uint8Array, host: string, port: number) => void): () => void {
    this.#notice = received;
    return () => {
      this.#notice = undefined;
    };
  }

  /** Multicasts, in the name of the gateway unless told otherwise. */
  multicast(bytes: Uint8Array | string, host: string = this.address, port = 5351): void {
    this.#notice?.(bytesOf(bytes), host, port);
  }
}

/** Bytes from hexadecimal, in which blanks do not count. */
export function bytesOf(hex: Uint8Array | string): Uint8Array {
  return typeof hex === "string" ? new Uint8Array(Buffer.from(hex.replaceAll(" ", ""), "hex")) : hex;
}

/** A gateway that speaks NAT-PMP only, and how it counts and maps. */
export interface NatPmpSettings {
  external: string;
  epoch: () => number;
  lifetime: number;
  /** The external port of an internal one, given what was wished for. */
  port: (internal: number, wished: number) => number;
  result: number;
}

export function natPmpAnswers(settings: Partial<NatPmpSettings> = {}): Behaviour {
  const {
    external = "44.128.1.2",
    epoch = () => 100,
    lifetime = 3600,
    port = (_, wished) => wished,
    result = 0,
  } = settings;
  return (request, reply) => {
    const answer = new Uint8Array(request[0] !== 0 ? 8 : request[1] === 0 ? 12 : 16);
    const view = new DataView(answer.buffer);
    answer[1] = 128 + (request[1] as number);
    view.setUint32(4, epoch());
    if (request[0] !== 0) view.setUint16(2, 1);
    else {
      view.setUint16(2, result);
      if (request[1] === 0) answer.set(external.split(".").map(Number), 8);
      else {
        const asked = new DataView(request.buffer, request.byteOffset);
        const isDelete = asked.getUint32(8) === 0;
        view.setUint16(8, asked.getUint16(4));
        view.setUint16(10, isDelete ? 0 : port(asked.getUint16(4), asked.getUint16(6)));
        view.setUint32(12, isDelete ? 0 : lifetime);
      }
    }
    reply(answer);
  };
}

/** What a PCP gateway answers with. */
export interface PcpSettings extends NatPmpSettings {
  announceResult: number;
  /** Changes an answer to MAP before it goes out. */
  edit: (answer: Uint8Array) => void;
}

export function pcpAnswers(settings: Partial<PcpSettings> = {}): Behaviour {
  const {
    external = "44.128.1.2",
    epoch = () => 100,
    lifetime = 3600,
    port = (_, wished) => wished,
  } = settings;
  const { result = 0, announceResult = 0, edit = () => {} } = settings;
  return (request, reply) => {
    if (request[0] !== 2) return;
    const answer = request.slice();
    const view = new DataView(answer.buffer);
    answer.fill(0, 8, 24);
    answer[1] = (request[1] as number) | 0x80;
    view.setUint32(8, epoch());
    if (request[1] === 0) answer[3] = announceResult;
    else {
      const isDelete = view.getUint32(4) === 0;
      answer[3] = result;
      view.setUint32(4, isDelete ? 0 : lifetime);
      view.setUint16(42, isDelete ? 0 : port(view.getUint16(40), view.getUint16(42)));
      answer.set(external.split(".").map(Number), 56);
      edit(answer);
    }
    reply(answer);
  };
}
