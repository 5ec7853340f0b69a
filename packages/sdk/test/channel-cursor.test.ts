import type { DaemonTime } from "@netmesh/compute";
import type { PublishedPosition } from "@netmesh/mesh";
import { describe, expect, it } from "vitest";
import { ChannelCursor } from "../src/channel-cursor.ts";

const LIMIT_MS = 1_000;

/** A publisher whose answers, and a clock whose time, come when the test says. */
class Scene {
  readonly cursor: ChannelCursor = new ChannelCursor();
  readonly #timers = new Set<() => void>();
  readonly #time: Pick<DaemonTime, "after" | "cancel"> = {
    after: (_, callback) => {
      this.#timers.add(callback);
      return callback;
    },
    cancel: (timer) => void this.#timers.delete(timer as () => void),
  };
  #answer: (answer: PublishedPosition | undefined) => void = () => {};

  /** A packet with so many messages comes. */
  packet(sequence: number, messages = 1): void {
    for (let i = 0; i < messages; i++) this.cursor.arrive(sequence);
  }

  ask(): Promise<void> {
    const answer = new Promise<PublishedPosition | undefined>((resolve) => {
      this.#answer = resolve;
    });
    return this.cursor.locate(() => answer, LIMIT_MS, this.#time as DaemonTime);
  }

  async answer(sequence: number, position: bigint, arrivedThrough: number): Promise<void> {
    this.#answer({ sequence, position, arrivedThrough });
    await Promise.resolve();
  }

  noAnswer(): void {
    this.#answer(undefined);
  }

  timeOut(): void {
    for (const callback of [...this.#timers]) callback();
  }

  get isTiming(): boolean {
    return this.#timers.size > 0;
  }
}

describe("the position of a message", () => {
  it("follows from the publisher's answer, and what had come before it", async () => {
    const scene = new Scene();
    scene.packet(0, 3);
    scene.packet(1);
    const located = scene.ask();
    expect(scene.cursor.positionOf(0)).toBeUndefined();
    await scene.answer(2, 104n, 2);
    await located;
    expect([0, 4, 7].map((index) => scene.cursor.positionOf(index))).toEqual([100n, 104n, 107n]);
    expect([99n, 100n, 106n].map((position) => scene.cursor.indexOf(position))).toEqual([0, 0, 6]);
    expect(scene.isTiming).toBe(false);
  });

  it("does not count what came between the answer and its arrival as older", async () => {
    const scene = new Scene();
    scene.packet(0);
    const located = scene.ask();
    scene.packet(1, 2);
    scene.packet(2);
    scene.packet(3, 5);
    await scene.answer(2, 50n, 4);
    await located;
    expect(scene.cursor.positionOf(3)).toBe(50n);
    scene.packet(4);
    expect(scene.cursor.positionOf(3)).toBe(50n);
  });

  it("is known once all before the answer has come, with every message of the last packet", async () => {
    const scene = new Scene();
    let isLocated = false;
    const located = scene.ask().then(() => {
      isLocated = true;
    });
    await scene.answer(3, 10n, 1);
    scene.packet(1);
    await Promise.resolve();
    expect(isLocated).toBe(false);
    scene.packet(2, 4);
    await located;
    expect(scene.cursor.positionOf(5)).toBe(10n);
  });

  it("is known when something later comes in the place of what will not", async () => {
    const scene = new Scene();
    const located = scene.ask();
    await scene.answer(3, 10n, 0);
    scene.packet(3, 2);
    await located;
    expect(scene.cursor.positionOf(0)).toBe(10n);
  });

  it.each([
    ["a packet is missing", (scene: Scene) => scene.packet(4)],
    ["the publisher begins again", (scene: Scene) => scene.packet(0)],
    ["the queue was full, or the publisher lost", (scene: Scene) => scene.cursor.lose()],
  ])("is not known any more when %s, until it is found again", async (_, happens) => {
    const scene = new Scene();
    const located = scene.ask();
    await scene.answer(3, 10n, 3);
    await located;
    expect(scene.cursor.indexOf(12n)).toBe(2);
    happens(scene);
    expect([scene.cursor.positionOf(0), scene.cursor.indexOf(12n)]).toEqual([undefined, undefined]);
    const again = scene.ask();
    await scene.answer(9, 20n, 9);
    await again;
    expect(scene.cursor.positionOf(scene.cursor.arrived)).toBe(20n);
  });

  it("is not known when what came after the answer has gaps", async () => {
    const scene = new Scene();
    const located = scene.ask();
    scene.packet(2);
    scene.packet(4);
    await scene.answer(2, 10n, 5);
    await located;
    expect(scene.cursor.positionOf(0)).toBeUndefined();
  });

  it.each([
    ["does not say", (scene: Scene) => scene.noAnswer()],
    ["takes too long", (scene: Scene) => scene.timeOut()],
    ["is lost meanwhile", (scene: Scene) => scene.cursor.lose()],
    [
      "publishes too much meanwhile",
      (scene: Scene) => {
        for (let sequence = 0; sequence <= 16_384; sequence++) scene.packet(sequence);
      },
    ],
  ])("is not known when the publisher %s, and nothing is left waiting", async (_, happens) => {
    const scene = new Scene();
    const located = scene.ask();
    happens(scene);
    await located;
    expect([scene.cursor.positionOf(0), scene.isTiming]).toEqual([undefined, false]);
    await scene.answer(0, 5n, 0);
    expect(scene.cursor.positionOf(0)).toBeUndefined();
  });

  it("is not known when packets before the answer do not come in time", async () => {
    const scene = new Scene();
    const located = scene.ask();
    await scene.answer(3, 10n, 1);
    scene.timeOut();
    await located;
    expect(scene.cursor.positionOf(0)).toBeUndefined();
  });
});
