import { describe, expect, it } from "vitest";
import { type ChannelMessage, Subscription } from "../src/subscription.ts";

const message = (word: string): ChannelMessage => ({
  publisher: 1n,
  data: new TextEncoder().encode(word),
  sequence: 0,
  index: 0,
  receivedAtMs: 0,
});

/** A full subscription of two messages that prefers new ones, with whatever it was handed. */
async function kept(...messages: readonly (readonly [string, boolean])[]): Promise<string[]> {
  const subscription = new Subscription(
    1n,
    "mixed",
    { highWaterMark: 2, overflow: "drop-oldest" },
    async () => undefined,
  );
  for (const [word, isReliable] of messages) subscription.onMessage(message(word), isReliable, undefined);
  expect(subscription.dropped).toBe(1);
  const words: string[] = [];
  const reader = subscription.messages();
  for (let left = messages.length - subscription.dropped; left > 0; left--) {
    words.push(new TextDecoder().decode((await reader.next()).value?.data));
  }
  return words;
}

describe("a subscription that drops what is oldest", () => {
  it("keeps repaired messages of the publisher's last session, and drops the oldest of the others", async () => {
    expect(await kept(["repaired", true], ["1", false], ["2", false])).toEqual(["repaired", "2"]);
  });

  it("refuses what comes when only repaired messages wait", async () => {
    expect(await kept(["repaired", true], ["too", true], ["1", false])).toEqual(["repaired", "too"]);
  });
});
