import { Identity, issueToken, TokenChain, TokenScope } from "@netmesh/crypto";
import {
  channelHash,
  copyBytes,
  decodeHeader,
  encodeMembership,
  type MembershipMessage,
  publishStreamId,
  Subprotocol,
} from "@netmesh/wire";
import type { ChannelConfig } from "../src/channel/channel-configs.ts";
import type { ChannelSubscription, SubscribeOptions } from "../src/channel/channel-subscription.ts";
import type { PublishOptions, PublishReport } from "../src/channel/publisher.ts";
import type { MeshError } from "../src/errors.ts";
import {
  createTestNetwork,
  type TestNetwork,
  type TestNetworkOptions,
  type TestNode,
  type TestNodeOptions,
} from "../src/testing/index.ts";

/** A publisher, and subscribers that are connected to it. */
export class ChannelNetwork {
  readonly network: TestNetwork;
  readonly publisher: TestNode;
  readonly subscribers: TestNode[] = [];

  constructor(subscribers: number, options: TestNetworkOptions = {}) {
    this.network = createTestNetwork(1, options);
    this.publisher = this.network.nodes[0] as TestNode;
    for (let i = 0; i < subscribers; i++) this.add();
  }

  /** Adds a node that is connected to the publisher. */
  add(options: TestNodeOptions = {}): TestNode {
    const node = this.network.add(options);
    node.connect(this.publisher);
    this.network.advance(100);
    this.subscribers.push(node);
    return node;
  }

  register(config: ChannelConfig): void {
    this.publisher.call((core) => core.channels.register(config));
  }

  publish(name: string, text: string | readonly string[], options: PublishOptions = {}): PublishReport {
    const events = (typeof text === "string" ? [text] : text).map(bytes);
    const report = this.publisher.call((core) => core.channels.publish(name, events, options));
    this.network.advance(10);
    return report;
  }

  /** Subscribes, and lets time pass until that is settled. */
  subscribe(node: TestNode, name: string, options: SubscribeOptions = {}): Attempt {
    const subscription = node.call((core) => core.channels.subscribe(this.publisher.nodeId, name, options));
    const failure = () =>
      node.eventsOf("subscribe-failed").find((event) => event.subscription === subscription)?.error;
    this.network.clock.advanceUntil(() => subscription.request === undefined, 20_000);
    return { subscription, error: failure() };
  }

  /** A chain of one token that lets a node subscribe. */
  chain(
    root: Identity,
    subject: TestNode,
    name: string,
    ttlSeconds: bigint = 3_600n,
    scope: number = TokenScope.SUBSCRIBE,
  ): TokenChain {
    const now = BigInt(Math.floor(this.network.systemTime.now() / 1_000));
    const grant = { subject: subject.identity.entityId, scope, channel: channelHash(name), ttl: ttlSeconds };
    return new TokenChain([issueToken(root, grant, now, this.network.random)]);
  }

  /** An identity that is nobody's node. */
  root(): Identity {
    return Identity.generate(this.network.random);
  }
}

/** What came of an attempt to subscribe. */
export interface Attempt {
  readonly subscription: ChannelSubscription;
  readonly error: MeshError | undefined;
}

/** What a node has received on a channel of that name, from anybody, as text. */
export function received(node: TestNode, name: string): string[] {
  const streamId = publishStreamId(channelHash(name));
  return node
    .eventsOf("data")
    .filter(({ stream }) => stream.id === streamId)
    .flatMap(({ packet }) => packet.events.map(textOf));
}

/** What a node has received that belongs to a subscription of its own. */
export function receivedBySubscription(node: TestNode): string[] {
  return node
    .eventsOf("data")
    .filter(({ session, stream }) => node.core.subscriptionOf(session, stream) !== undefined)
    .flatMap(({ packet }) => packet.events.map(textOf));
}

/** Makes a node send a message of membership, whatever it says. */
export function sendMembership(from: TestNode, to: TestNode, message: MembershipMessage | Uint8Array): void {
  const event = message instanceof Uint8Array ? message : encodeMembership(message);
  from.call((core) => core.sendMessage(to.nodeId, Subprotocol.CHANNEL_MEMBERSHIP, event));
}

/** Header fields of the packets that a node sends from now on. */
export function headersOf(
  network: TestNetwork,
  node: TestNode,
): NonNullable<ReturnType<typeof decodeHeader>>[] {
  const headers: NonNullable<ReturnType<typeof decodeHeader>>[] = [];
  network.net.tap = (datagram, from) => {
    const header = decodeHeader(copyBytes(datagram));
    if (header !== undefined && from.key === node.transport.localAddress.key) headers.push(header);
    return true;
  };
  return headers;
}

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (data: Uint8Array): string => new TextDecoder().decode(data);
