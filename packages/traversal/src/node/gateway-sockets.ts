import { createSocket } from "node:dgram";
import type { ChannelListener, GatewayChannel, GatewayChannels } from "../port-mapping/gateway-channel.ts";
import { GATEWAY_PORT } from "../port-mapping/nat-pmp.ts";

/** Connected `node:dgram` sockets: the system drops what anybody but the gateway's port sends, and reports refusals. */
export const gatewaySockets: GatewayChannels = {
  open: (gateway, listener) => openConnected(gateway, GATEWAY_PORT, listener),
};

/** @internal The same for any port. */
export function openConnected(
  host: string,
  port: number,
  listener: ChannelListener,
): Promise<GatewayChannel> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    let isClosed = false;
    const fail = (error: Error): void => {
      if (!isClosed) listener.failed(error);
    };
    socket.on("error", (error) => {
      reject(error);
      fail(error);
    });
    socket.on("message", (bytes, from) => listener.received(bytes, from.address, from.port));
    socket.connect(port, host, () => {
      resolve({
        localHost: socket.address().address,
        send: (bytes) => socket.send(bytes, (error) => error && fail(error)),
        close: () => {
          if (isClosed) return;
          isClosed = true;
          socket.close();
        },
      });
    });
  });
}
