import { createSocket } from "node:dgram";
import { networkInterfaces } from "node:os";
import type { SearchChannel, SearchChannels } from "../port-mapping/upnp/device-search.ts";
import { SSDP_GROUP, SSDP_PORT } from "../port-mapping/upnp/ssdp.ts";

/** Most interfaces that are searched. */
const MAX_INTERFACES = 16;

/** One `node:dgram` socket per IPv4 interface that leads anywhere, each on a port of its own. */
export const searchSockets: SearchChannels = {
  async open(received) {
    const addresses = Object.values(networkInterfaces())
      .flatMap((entries) => entries ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal)
      .slice(0, MAX_INTERFACES);
    const opened = await Promise.all(
      addresses.map(({ address, netmask }) => open(address, netmask, received)),
    );
    return opened.filter((channel) => channel !== undefined);
  },
};

/** A socket on one interface; undefined where the system refuses one. */
function open(
  localHost: string,
  netmask: string,
  received: (channel: SearchChannel, bytes: Uint8Array, host: string) => void,
): Promise<SearchChannel | undefined> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4");
    let isClosed = false;
    const channel: SearchChannel = {
      localHost,
      netmask,
      send: (bytes) => socket.send(bytes, SSDP_PORT, SSDP_GROUP, () => {}),
      close: () => {
        if (isClosed) return;
        isClosed = true;
        socket.close();
      },
    };
    socket.on("error", () => {
      channel.close();
      resolve(undefined);
    });
    socket.on("message", (bytes, from) => received(channel, bytes, from.address));
    socket.bind(0, localHost, () => {
      try {
        socket.setMulticastInterface(localHost);
        socket.setMulticastTTL(2);
        resolve(channel);
      } catch {
        channel.close();
        resolve(undefined);
      }
    });
  });
}
