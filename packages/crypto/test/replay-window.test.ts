import fc from "fast-check";
import { expect, test } from "vitest";
import { REPLAY_WINDOW_SIZE, ReplayWindow } from "../src/index.ts";
import { halves } from "./support/vectors.ts";

const MAX = 2n ** 64n - 1n;

const commit = (window: ReplayWindow, counter: bigint | number) => window.commit(...halves(BigInt(counter)));
const isValid = (window: ReplayWindow, counter: bigint | number) =>
  window.isValid(...halves(BigInt(counter)));

/** The definition, with a set: what is below the window or accepted before is refused. */
class Model {
  next = 0n;
  readonly accepted: Set<bigint> = new Set();

  commit(counter: bigint): boolean {
    if (counter === MAX || this.next === MAX) return false;
    if (counter < this.next - 1024n || this.accepted.has(counter)) return false;
    this.accepted.add(counter);
    if (counter >= this.next) this.next = counter + 1n;
    return true;
  }

  isValid(counter: bigint): boolean {
    if (counter === MAX) return false;
    if (counter >= this.next) return counter - this.next <= 1024n;
    return counter >= this.next - 1024n && !this.accepted.has(counter);
  }

  has(age: number): boolean {
    return this.accepted.has(this.next - 1n - BigInt(age));
  }
}

function checkAgainstModel(start: bigint, jumps: readonly bigint[]): void {
  const [window, model] = [new ReplayWindow(), new Model()];
  let at = start;
  for (const jump of [0n, ...jumps]) {
    at = at + jump < 0n ? 0n : at + jump > MAX ? MAX : at + jump;
    expect(isValid(window, at)).toBe(model.isValid(at));
    expect(commit(window, at)).toBe(model.commit(at));
    expect(window.next).toBe(model.next);
  }
  const { words } = window;
  for (let age = 0; age < REPLAY_WINDOW_SIZE; age++) {
    expect((((words[age >> 5] as number) >>> (age & 31)) & 1) === 1).toBe(model.has(age));
  }
}

test("decides like a set of all accepted counters, for every mix of steps back and jumps ahead", () => {
  const jump = fc.oneof(
    { weight: 4, arbitrary: fc.bigInt(-1100n, 1100n) },
    { weight: 3, arbitrary: fc.bigInt(-40n, 70n) },
    {
      weight: 2,
      arbitrary: fc.constantFrom(1n, 2n, 31n, 32n, 33n, 63n, 64n, 65n, 128n, 1022n, 1023n, 1024n, 1025n),
    },
    { weight: 1, arbitrary: fc.bigInt(-(2n ** 34n), 2n ** 34n) },
  );
  const start = fc.oneof(
    fc.constantFrom(0n, 1n, 1023n, 2n ** 32n - 600n, 2n ** 32n, 2n ** 53n - 3n, MAX - 3000n, MAX - 2n),
    fc.bigInt(0n, MAX),
  );
  fc.assert(fc.property(start, fc.array(jump, { maxLength: 200 }), checkAgainstModel), { numRuns: 300 });
});

test.each([1023n, 1024n, 1025n])(
  "a jump of exactly %s is accepted and keeps what is still in reach",
  (jump) => {
    checkAgainstModel(0n, [1n, 1n, 1n, jump, -1n, -1n, -1020n, -1n, -1n, -1n]);
  },
);

test("takes order of arrival as it comes, within 1024", () => {
  const window = new ReplayWindow();
  expect(commit(window, 0)).toBe(true);
  expect(commit(window, 100)).toBe(true);
  for (const counter of [101, 200, 50]) expect(commit(window, counter)).toBe(true);
  for (const counter of [100, 50]) expect(commit(window, counter)).toBe(false);
  expect(commit(window, 2000)).toBe(true);
  expect(commit(window, 0)).toBe(false);
  expect(isValid(window, 3025)).toBe(true);
  expect(isValid(window, 3026)).toBe(false);
});

test("the predicate reaches 1024 beyond the next counter", () => {
  const window = new ReplayWindow();
  for (let counter = 0; counter < 100; counter++) commit(window, counter);
  expect(isValid(window, 1124)).toBe(true);
  expect(isValid(window, 1125)).toBe(false);
});

test("2^64 - 1 is refused and changes nothing", () => {
  const window = new ReplayWindow();
  commit(window, 1000);
  expect(commit(window, MAX)).toBe(false);
  expect(isValid(window, MAX)).toBe(false);
  expect(window.next).toBe(1001n);
});

test("2^64 - 2 is the last counter; everything after it is refused without throwing", () => {
  const window = new ReplayWindow();
  expect(commit(window, MAX - 1n)).toBe(true);
  for (const counter of [MAX, MAX - 1n, MAX - 2n, 0n, 1n]) expect(commit(window, counter)).toBe(false);
});

test("sparse counters stay rejected after a shift, the gaps between them are accepted once", () => {
  const window = new ReplayWindow();
  for (const counter of [10, 20, 30, 530]) expect(commit(window, counter)).toBe(true);
  for (const counter of [10, 20, 30, 530]) expect(commit(window, counter)).toBe(false);
  expect(commit(window, 25)).toBe(true);
  expect(commit(window, 25)).toBe(false);
});

test("a jump from 101 to 10,000 is accepted and leaves 100 behind", () => {
  const window = new ReplayWindow();
  commit(window, 101);
  expect(commit(window, 10_000)).toBe(true);
  expect(commit(window, 100)).toBe(false);
});

test("after 1,100 packets a sender that starts again at 0 is dropped", () => {
  const window = new ReplayWindow();
  for (let counter = 0; counter < 1100; counter++) commit(window, counter);
  for (let counter = 0; counter < 1100; counter++) expect(commit(window, counter)).toBe(false);
});

test("a loss of 5,000 packets does not stall the session", () => {
  const window = new ReplayWindow();
  commit(window, 0);
  for (let counter = 5001; counter < 5100; counter++) expect(commit(window, counter)).toBe(true);
});

test("the newest counter is the highest accepted one, across the carry of its halves", () => {
  const window = new ReplayWindow();
  expect(window.isNewest(0, 0)).toBe(false);
  expect(window.isNewest(0xffff_ffff, 0xffff_ffff)).toBe(false);
  for (const [lo, hi] of [
    [5, 0],
    [0xffff_ffff, 0],
    [0, 1],
    [3, 2],
  ] as const) {
    window.commit(lo, hi);
    expect(window.isNewest(lo, hi)).toBe(true);
    for (const other of [lo - 1, lo + 1]) expect(window.isNewest(other >>> 0, hi)).toBe(false);
    expect(window.isNewest(lo, hi + 1)).toBe(false);
  }
});
