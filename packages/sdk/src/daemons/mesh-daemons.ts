import type { ByteStream, MemberNetwork, PeerMessageHandler, PeerNetwork } from "@netmesh/compute";
import type { CoreEvent, MeshNode, Session, Stream } from "@netmesh/mesh";
import { Subprotocol } from "@netmesh/wire";
import { toNetError } from "../errors.ts";
import type { Inbox } from "../inbox.ts";
import type { MeshStream } from "../mesh-stream.ts";
import { StaticKeys } from "./static-keys.ts";

/** Ids of streams between runtimes, for moves and for members of groups: these 32 bits, and any 32 below. Applications leave them alone. */
const MOVE_PREFIX = 0x0500_6e6dn << 32n;
const MEMBER_PREFIX = 0x0500_6e67n << 32n;
const PREFIX_MASK = 0xffff_ffffn << 32n;
const COUNTER_MASK = 0x7fff_ffffn;
/** Wire bytes that may be on their way on such a stream. */
const WINDOW_BYTES = 4 << 20;
const CLOSE_MS = 30_000;

/** Takes a stream about members of groups that a peer has opened. Must not throw. */
export type AcceptMemberStream = (stream: ByteStream, from: bigint) => void;

/** What a node's daemon runtime needs of its mesh: messages of subprotocol 0x0500, and streams between netmesh nodes. */
export class MeshDaemons implements PeerNetwork, MemberNetwork {
  readonly nodeId: bigint;
  readonly #node: MeshNode;
  readonly #inbox: Inbox;
  #handler: PeerMessageHandler | undefined;
  #acceptMembers: AcceptMemberStream | undefined;
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

  /** Gives streams about members of groups to it, instead of any before; without, they are ended. */
  setMemberHandler(accept: AcceptMemberStream | undefined): void {
    this.#acceptMembers = accept;
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

  openStream(node: bigint): Promise<ByteStream> {
    return this.#open(node, MOVE_PREFIX);
  }

  /** As `openStream`, to the members of groups that live there. */
  openMemberStream(node: bigint): Promise<ByteStream> {
    return this.#open(node, MEMBER_PREFIX);
  }

  /** Whether there is a session with the node, which has been heard within its time-out. */
  isHeard(node: bigint): boolean {
    return this.#sessionOf(node)?.isSilent === false;
  }

  /** The nodes that are heard, and the round trips to them in milliseconds, where known. */
  peers(): { readonly nodeId: bigint; readonly rttMs: number | undefined }[] {
    const peers: { nodeId: bigint; rttMs: number | undefined }[] = [];
    if (this.#node.isClosed) return peers;
    for (const { nodeId } of this.#node.core.peers) {
      const session = this.#sessionOf(nodeId);
      if (session?.isSilent === false) peers.push({ nodeId, rttMs: session.roundTripMs });
    }
    return peers;
  }

  async #open(node: bigint, prefix: bigint): Promise<ByteStream> {
    // Of two nodes that begin at the same time each has ids of its own.
    const side = node < this.nodeId ? 1n : 0n;
    this.#lastStream = (this.#lastStream + 1n) & COUNTER_MASK;
    const streamId = prefix | (this.#lastStream << 1n) | side;
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
    if (event.type !== "stream-opened") return false;
    const prefix = event.stream.id & PREFIX_MASK;
    if (prefix !== MOVE_PREFIX && prefix !== MEMBER_PREFIX) return false;
    const handler = this.#handler;
    const accept = prefix === MEMBER_PREFIX ? this.#acceptMembers : handler?.acceptStream?.bind(handler);
    this.#accept(event.session, event.stream, accept);
    return true;
  }

  #accept(session: Session, { id, ended }: Stream, accept: AcceptMemberStream | undefined): void {
    if (ended !== undefined) return;
    const opened = this.#node.core.openStream(session.peer.nodeId, id, {
      reliability: "reliable",
      windowBytes: WINDOW_BYTES,
    });
    const bytes = new MeshByteStream(this.#inbox.open(this.#node, opened.session, opened.stream));
    if (accept === undefined) bytes.abort();
    else accept(bytes, session.peer.nodeId);
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
