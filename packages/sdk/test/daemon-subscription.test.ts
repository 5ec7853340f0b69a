import type { PublishedPosition } from "@netmesh/mesh";
import { describe, expect, it } from "vitest";
import { ChannelCursor } from "../src/channel-cursor.ts";
import { DaemonSubscription, MAX_HELD_BYTES } from "../src/daemons/daemon-subscription.ts";
import { Subscription, Taken } from "../src/subscription.ts";

/** A daemon's subscription, and the publisher behind it, whose events are numbered from 100. */
class Scene {
  readonly held: { bytes: number } = { bytes: 0 };
  readonly seen: number[] = [];
  /** Events whose window has room again. */
  taken = 0;
  isLeft = false;
  readonly subscription: DaemonSubscription;
  readonly over: Promise<void>;
  readonly #handle: Subscription;
  #sequence = 0;
  /** What the daemon waits for before it begins with an event, and before it has processed it. */
  turn: Promise<void> = Promise.resolve();
  processing: Promise<void> = Promise.resolve();

  constructor() {
    const cursor = new ChannelCursor();
    this.#handle = new Subscription(1n, "news", {}, async () => {
      this.isLeft = true;
    });
    this.#handle.cursor = cursor;
    const feed = async (_: bigint, { data }: { data: Uint8Array }, onTaken: () => void): Promise<void> => {
      await this.turn;
      onTaken();
      await this.processing;
      this.seen.push(100 + (data[0] as number));
    };
    this.subscription = new DaemonSubscription(7n, this.#handle, cursor, feed, this.held);
    this.over = this.subscription.run();
  }

  /** Events come, each in a packet. */
  async publish(count: number, size = 1): Promise<void> {
    for (let i = 0; i < count; i++) {
      const data = new Uint8Array(size).fill(this.#sequence);
      const message = { publisher: 1n, data, sequence: this.#sequence++, index: 0, receivedAtMs: 0 };
      this.#handle.onMessage(
        message,
        true,
        new Taken(1, () => {
          this.taken++;
        }),
      );
    }
    await settled();
  }

  readonly ask = async (): Promise<PublishedPosition> => ({
    sequence: this.#sequence,
    position: 100n + BigInt(this.#sequence),
    arrivedThrough: this.#sequence,
  });

  end(): Promise<void> {
    return this.subscription.end();
  }
}

const settled = (): Promise<void> => new Promise(setImmediate);

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

describe("a subscription of a daemon that is on its way", () => {
  it("holds what comes, and gives the daemon what is from its position on", async () => {
    const scene = new Scene();
    await scene.publish(3);
    await scene.subscription.locate(scene.ask);
    await scene.publish(3);
    expect([scene.seen, scene.taken]).toEqual([[], 6]);
    scene.subscription.begin(104n);
    await scene.publish(2);
    expect(scene.seen).toEqual([104, 105, 106, 107]);
    expect(scene.held.bytes).toBe(0);
  });

  it("leaves out what comes only after the daemon, too, as long as it is before its position", async () => {
    const scene = new Scene();
    await scene.subscription.locate(scene.ask);
    scene.subscription.begin(103n);
    await scene.publish(5);
    expect(scene.seen).toEqual([103, 104]);
  });

  it("gives everything where the position is not known, at either end", async () => {
    for (const [isLocated, position] of [
      [true, undefined],
      [false, 103n],
    ] as const) {
      const scene = new Scene();
      if (isLocated) await scene.subscription.locate(scene.ask);
      await scene.publish(2);
      scene.subscription.begin(position);
      await scene.publish(2);
      expect(scene.seen).toEqual([100, 101, 102, 103]);
    }
  });

  it("holds so much of it, and lets the rest wait within its window", async () => {
    const scene = new Scene();
    await scene.publish(6, MAX_HELD_BYTES / 4);
    expect(scene.taken).toBe(4);
    scene.subscription.begin();
    await scene.publish(1);
    expect(scene.seen).toEqual([100, 101, 102, 103, 104, 105, 106]);
    expect([scene.held.bytes, scene.taken]).toEqual([0, 7]);
  });

  it("keeps the order when more comes while the daemon gets what was held", async () => {
    const scene = new Scene();
    await scene.publish(2);
    const { promise, resolve: turn } = deferred();
    scene.turn = promise;
    scene.subscription.begin();
    await scene.publish(3);
    expect(scene.seen).toEqual([]);
    turn();
    await settled();
    expect(scene.seen).toEqual([100, 101, 102, 103, 104]);
  });

  it("tells the publisher when it is not wanted, and forgets what it held", async () => {
    const scene = new Scene();
    await scene.publish(6, MAX_HELD_BYTES / 4);
    await scene.end();
    await scene.over;
    expect([scene.isLeft, scene.held.bytes, scene.seen]).toEqual([true, 0, []]);
  });
});

describe("a subscription of a daemon that is about to leave", () => {
  it("says how far the daemon is once it has processed what had come, and from then on", async () => {
    const scene = new Scene();
    scene.subscription.begin();
    const { promise, resolve: turn } = deferred();
    scene.turn = promise;
    await scene.publish(3);
    let position: (() => bigint | undefined) | undefined;
    void scene.subscription.follow(scene.ask).then((positionOf) => {
      position = positionOf;
    });
    await settled();
    expect(position).toBeUndefined();
    turn();
    await settled();
    expect(position?.()).toBe(103n);
    await scene.publish(2);
    expect(position?.()).toBe(105n);
  });

  it("counts an event with which the daemon has begun, and none that waits for its turn", async () => {
    const scene = new Scene();
    scene.subscription.begin();
    const position = await scene.subscription.follow(scene.ask);
    const processed = deferred();
    scene.processing = processed.promise;
    await scene.publish(1);
    expect([position(), scene.seen]).toEqual([101n, []]);
    scene.turn = new Promise(() => {});
    processed.resolve();
    await scene.publish(1);
    expect([position(), scene.seen]).toEqual([101n, [100]]);
  });

  it("lets nobody wait when it ends", async () => {
    const scene = new Scene();
    scene.subscription.begin();
    scene.turn = new Promise(() => {});
    await scene.publish(1);
    const following = scene.subscription.follow(scene.ask);
    await settled();
    await scene.end();
    expect((await following)()).toBeUndefined();
  });
});
