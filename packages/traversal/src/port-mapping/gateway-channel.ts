/** What a channel tells. */
export interface ChannelListener {
  /** A datagram, from whomever the socket lets through; the bytes are valid during the call. */
  received(bytes: Uint8Array, host: string, port: number): void;
  /** The socket is of no more use, for example because the gateway answered with "port unreachable". */
  failed(error: Error): void;
}

/** A UDP socket for one call to the gateway, connected to its port 5351. */
export interface GatewayChannel {
  /** Our own address in what is sent. */
  readonly localHost: string;
  /** Sends a datagram; failures go to the listener. */
  send(bytes: Uint8Array): void;
  /** Idempotent. */
  close(): void;
}

/** Opens sockets to gateways. */
export interface GatewayChannels {
  /** A new socket on a port of its own, connected, so that the system drops what others send. */
  open(gateway: string, listener: ChannelListener): Promise<GatewayChannel>;
}

/** Hears what gateways multicast to 224.0.0.1:5350. */
export interface NoticeSource {
  /** Listens until the returned function is called. */
  listen(received: (bytes: Uint8Array, host: string, port: number) => void): () => void;
}
