import { describe, expect, test } from "vitest";
import { median, percentile } from "../src/statistics.ts";

describe("the median", () => {
  test("is the value in the middle, whatever the order", () => {
    expect(median([9, 1, 5])).toBe(5);
  });

  test("is the mean of the two in the middle when their number is even", () => {
    expect(median([4, 1, 3, 100])).toBe(3.5);
  });

  test("of nothing is undefined", () => {
    expect(median([])).toBeUndefined();
  });

  test("compares numbers, not their text", () => {
    expect(median([10, 9, 100])).toBe(10);
  });

  test("leaves the values in their order", () => {
    const values = [3, 1, 2];
    median(values);
    expect(values).toEqual([3, 1, 2]);
  });
});

describe("a percentile", () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  test("is the nearest rank", () => {
    expect(percentile(hundred, 50)).toBe(50);
    expect(percentile(hundred, 99)).toBe(99);
    expect(percentile([7, 8], 99)).toBe(8);
  });

  test("reaches from the smallest value to the largest", () => {
    expect(percentile(hundred, 0)).toBe(1);
    expect(percentile(hundred, 100)).toBe(100);
  });

  test("of nothing is undefined", () => {
    expect(percentile([], 99)).toBeUndefined();
  });

  test("beyond 100 is refused", () => {
    expect(() => percentile([1], 101)).toThrow(RangeError);
  });
});
