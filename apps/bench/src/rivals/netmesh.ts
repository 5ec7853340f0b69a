import { bytesToHex, hexToBytes, Mesh, type MeshStream, type PeerContact } from "@netmesh/sdk";
import {
  type Contact,
  type End,
  type EndSettings,
  ignoreEvent,
  type Link,
  type Relay,
  type Rival,
} from "./rival.ts";

const STREAM_ID = 1n;
/** Wire bytes that may be on their way; the same amount that the TLS rival may have buffered. */
const WINDOW_BYTES = 1 << 20;

type Reliability = "reliable" | "fire-and-forget";

/**
 * Streams of the SDK, one `write` per event. Events written before the node's next turn share packets of up to the
 * path's datagram size, 8192 bytes on loopback.
 */
export class Netmesh implements Rival {
  readonly #reliability: Reliability;

  constructor(reliability: Reliability) {
    this.#reliability = reliability;
  }

  async open(settings: EndSettings): Promise<End> {
    const mesh = await openMesh(settings);
    const relay = settings.relay === undefined ? undefined : toPeer(settings.relay);
    if (relay !== undefined) await mesh.connect(relay);
    const openLink = (peer: bigint) =>
      new StreamLink(
        mesh.openStream(peer, {
          streamId: STREAM_ID,
          reliability: this.#reliability,
          windowBytes: WINDOW_BYTES,
        }),
        settings.readsBatches === true,
      );
    return {
      async listen(onLink) {
        mesh.addEventListener("stream", ({ peer }) => onLink(openLink(peer.nodeId)));
        return toContact(mesh);
      },
      async connect(contact) {
        const peer =
          relay === undefined
            ? await mesh.connect(toPeer(contact))
            : await mesh.connectVia(relay.nodeId, toPeer(contact));
        const path = relay === undefined ? "direct" : "relayed";
        if (peer.path !== path) throw new Error(`the path is ${peer.path}, not ${path}`);
        return openLink(peer.nodeId);
      },
      close: () => mesh.shutdown({ graceMs: 0 }),
    };
  }

  async relay(settings: EndSettings): Promise<Relay> {
    const mesh = await openMesh(settings);
    return {
      contact: toContact(mesh),
      forwarded: () => mesh.stats().counters.forwarded,
      close: () => mesh.shutdown({ graceMs: 0 }),
    };
  }
}

class StreamLink implements Link {
  onEvent: (event: Uint8Array) => void = ignoreEvent;
  onBatch: (events: readonly Uint8Array[]) => void = () => undefined;
  readonly #stream: MeshStream;

  constructor(stream: MeshStream, readsBatches: boolean) {
    this.#stream = stream;
    void this.#read(readsBatches);
  }

  send(event: Uint8Array): Promise<void> {
    return this.#stream.write(event);
  }

  sendAll(events: readonly Uint8Array[]): Promise<void> {
    return this.#stream.write(events);
  }

  packetsSent(): number {
    return this.#stream.stats().txSequence;
  }

  async #read(inBatches: boolean): Promise<void> {
    try {
      if (inBatches) for await (const { events } of this.#stream.batches()) this.onBatch(events);
      for await (const { data } of this.#stream) this.onEvent(data);
    } catch {
      // A stream that fails is noticed by its writer, or by the events that are missing.
    }
  }
}

/** A mesh as the measurements need it, on loopback. */
export function openMesh({ secret, datagramBytes, aead, heartbeatMs }: EndSettings): Promise<Mesh> {
  return Mesh.open({
    bind: "127.0.0.1:0",
    psk: hexToBytes(secret),
    ...(heartbeatMs === undefined ? {} : { heartbeatMs, nat: false }),
    ...(datagramBytes === undefined ? {} : { datagramBytes }),
    ...(aead === undefined ? {} : { aead }),
  });
}

function toContact(mesh: Mesh): Contact {
  const { address, nodeId, publicKey } = mesh.contact;
  return {
    host: "127.0.0.1",
    port: Number(address.slice(address.lastIndexOf(":") + 1)),
    nodeId: nodeId.toString(16),
    publicKey: bytesToHex(publicKey),
  };
}

/** A contact as the SDK takes it. */
export function toPeer({
  host,
  port,
  nodeId,
  publicKey,
}: Contact): PeerContact & { readonly address: string } {
  if (nodeId === undefined || publicKey === undefined) throw new Error("not the contact of a netmesh node");
  return { nodeId: BigInt(`0x${nodeId}`), publicKey: hexToBytes(publicKey), address: `${host}:${port}` };
}
