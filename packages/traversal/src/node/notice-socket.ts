import { createSocket } from "node:dgram";
import type { NoticeSource } from "../port-mapping/gateway-channel.ts";

/** Where gateways multicast (RFC 6886 §3.2.1, RFC 6887 §14.1.1). */
const GROUP = "224.0.0.1";
const PORT = 5350;

/** Hears the notices of gateways on port 5350, which it shares with other programs. Without the port it hears nothing. */
export const noticeSocket: NoticeSource = {
  listen(received) {
    const socket = createSocket({ type: "udp4", reuseAddr: true });
    let isClosed = false;
    const close = (): void => {
      if (isClosed) return;
      isClosed = true;
      socket.close();
    };
    socket.on("error", close);
    socket.on("message", (bytes, from) => received(bytes, from.address, from.port));
    socket.bind(PORT, () => {
      try {
        socket.addMembership(GROUP);
      } catch {
        // All hosts are members of this group anyway; some systems refuse to say so.
      }
    });
    socket.unref();
    return close;
  },
};
