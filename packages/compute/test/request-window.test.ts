import { expect, it } from "vitest";
import { RequestWindow } from "../src/groups/remote/request-window.ts";
import { settle } from "./support/virtual-time.ts";

/** Begins requests of these sizes one after the other; says how many have begun. */
function begin(window: RequestWindow, sizes: readonly number[]): () => number {
  let begun = 0;
  void (async () => {
    for (const size of sizes) {
      await window.enter(size);
      begun++;
    }
  })();
  return () => begun;
}

it("a request waits until one of as many as may be under way is over", async () => {
  const window = new RequestWindow(2, 100);
  const begun = begin(window, [1, 1, 1]);
  await settle();
  expect(begun()).toBe(2);
  window.leave(1);
  await settle();
  expect(begun()).toBe(3);
});

it("a request waits while requests and answers hold as many bytes as they may", async () => {
  const window = new RequestWindow(10, 100);
  const begun = begin(window, [40, 1, 1]);
  window.answer(80);
  await settle();
  expect(begun()).toBe(1);
  window.leave(120);
  await settle();
  expect(begun()).toBe(3);
});

it("a single request may be larger than all may be together", async () => {
  const begun = begin(new RequestWindow(10, 100), [1000]);
  await settle();
  expect(begun()).toBe(1);
});
