import type { ByteStream, PeerMessageHandler, PeerNetwork } from "@netmesh/compute";
import type { CoreEvent, MeshNode, Session, Stream } from "@netmesh/mesh";
import { Subprotocol } from "@netmesh/wire";
import { toNetError } from "../errors.ts";
import type { Inbox } from "../inbox.ts";
import type { MeshStream } from "../mesh-stream.ts";
import { StaticKeys } from "./static-keys.ts";

/** Ids of streams between runtimes: these 32 bits, and any 32 below. Applications leave them alone. */
const STREAM_ID_PREFIX = 0x0500_6e6dn << 32n;
const PREFIX_MASK = 0xffff_ffffn << 32n;
const COUNTER_MASK = 0x7fff_ffffn;
/** Wire bytes that may be on their way on such a stream. */
const WINDOW_BYTES = 4 << 20;
const CLOSE_MS = 30_000;

/** What a node's daemon runtime needs of its mesh: messages of subprotocol 0x0500, and streams between netmesh nodes. */
export class MeshDaemons implements PeerNetwork {
  readonly nodeId: bigint;
  readonly #node: MeshNode;
  readonly #inbox: Inbox;
  #handler: PeerMessageHandler | undefined;
  readonly #staticKeys: StaticKeys;
  #lastStream = 0n;

  /** @param staticKey - this node's public static key, 32 bytes */
  constructor(nodeId: bigint, staticKey: Uint8Array, node: MeshNode, inbox: Inbox) {
    this.nodeId = nodeId;
    this.#staticKeys = new StaticKeys(staticKey, ({ peer }, message) => this.send(peer.nodeId, message));
    this.#node = node;
    this.#inbox = inbox;
  }

  setHandler(handler: PeerMessageHandler | undefined): void {
    this.#handler = handler;
    // A runtime may outlive its mesh.
    if (!this.#node.isClosed) this.#node.core.hostDaemons(handler !== undefined);
  }

  send(node: bigint, message: Uint8Array): boolean {
    if (this.#sessionOf(node) === undefined) return false;
    const isTaken = this.#node.core.sendMessage(node, Subprotocol.MIGRATION, message);
    this.#node.touch();
    return isTaken;
  }

  /** Whether there is a session with the node. */
  isConnected(node: bigint): boolean {
    return this.#sessionOf(node) !== undefined;
  }

  staticKeyOf(node: bigint): Uint8Array | undefined {
    const session = this.#sessionOf(node);
    return session === undefined ? undefined : this.#staticKeys.get(session);
  }

  async learnStaticKey(node: bigint, originHash: bigint): Promise<boolean> {
    const session = this.#sessionOf(node);
    return session !== undefined && (await this.#staticKeys.ask(session, originHash));
  }

  isNetmesh(node: bigint): boolean {
    return (this.#sessionOf(node)?.features ?? 0) !== 0;
  }

  async openStream(node: bigint): Promise<ByteStream> {
    // Of two nodes that begin at the same time each has ids of its own.
    const side = node < this.nodeId ? 1n : 0n;
    this.#lastStream = (this.#lastStream + 1n) & COUNTER_MASK;
    const streamId = STREAM_ID_PREFIX | (this.#lastStream << 1n) | side;
    try {
      const options = { reliability: "reliable", windowBytes: WINDOW_BYTES } as const;
      const { session, stream } = this.#node.core.openStream(node, streamId, options);
      this.#node.touch();
      return new MeshByteStream(this.#inbox.open(this.#node, session, stream));
    } catch (error) {
      throw toNetError(error);
    }
  }

  /** Takes an event of the engine; true when nobody else needs it. */
  onEvent(event: CoreEvent): boolean {
    if (event.type === "message") {
      if (event.subprotocolId !== Subprotocol.MIGRATION) return false;
      const { session, data } = event;
      if (!this.#staticKeys.receive(session, data)) this.#handler?.receive(data, session.peer.nodeId);
      return true;
    }
    if (event.type !== "stream-opened" || (event.stream.id & PREFIX_MASK) !== STREAM_ID_PREFIX) return false;
    this.#accept(event.session, event.stream);
    return true;
  }

  #accept(session: Session, { id, ended }: Stream): void {
    if (ended !== undefined) return;
    const opened = this.#node.core.openStream(session.peer.nodeId, id, {
      reliability: "reliable",
      windowBytes: WINDOW_BYTES,
    });
    const bytes = new MeshByteStream(this.#inbox.open(this.#node, opened.session, opened.stream));
    if (this.#handler?.acceptStream === undefined) bytes.abort();
    else this.#handler.acceptStream(bytes, session.peer.nodeId);
  }

  #sessionOf(node: bigint): Session | undefined {
    if (this.#node.isClosed) return undefined;
    const session = this.#node.core.peer(node)?.session;
    return session?.isConfirmed === true ? session : undefined;
  }
}

/** A stream of the mesh as a runtime sees it; released once both directions have come to their end. */
class MeshByteStream implements ByteStream {
  readonly readable: AsyncIterable<Uint8Array>;
  readonly #stream: MeshStream;
  #directions = 2;

  constructor(stream: MeshStream) {
    this.#stream = stream;
    this.readable = this.#read();
  }

  write(bytes: Uint8Array): Promise<void> {
    return this.#stream.writeBytes(bytes);
  }

  async close(): Promise<void> {
    // A stream that has failed is over anyway; whoever reads or writes has been told.
    await this.#stream.end({ timeoutMs: CLOSE_MS }).catch(() => undefined);
    await this.#ended();
  }

  abort(): void {
    this.#stream.reset();
  }

  async *#read(): AsyncGenerator<Uint8Array, void> {
    try {
      for await (const { events } of this.#stream.batches()) yield* events;
    } finally {
      await this.#ended();
    }
  }

  async #ended(): Promise<void> {
    this.#directions--;
    if (this.#directions === 0) await this.#stream.close();
  }
}
