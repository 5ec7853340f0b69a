import fc from "fast-check";
import { expect, test } from "vitest";
import { DispatchOrder } from "../src/index.ts";

test("results come out in the order of dispatch, whatever order they come in", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 9 }),
      fc.array(fc.nat(), { maxLength: 200 }),
      (capacity, choices) => {
        const order = new DispatchOrder<string>(capacity);
        const underWay: number[] = [];
        const delivered: string[] = [];
        let begun = 0;
        for (const choice of choices) {
          const place = choice % 2 === 0 ? order.begin() : -1;
          if (place >= 0) {
            expect(place).toBe(begun++);
            underWay.push(place);
          } else if (underWay.length > 0) {
            const [done] = underWay.splice(choice % underWay.length, 1) as [number];
            order.complete(done, `result ${done}`, (result) => delivered.push(result));
          }
          expect(order.pending).toBe(begun - delivered.length);
          expect(order.pending).toBeLessThanOrEqual(capacity);
        }
        for (const place of underWay)
          order.complete(place, `result ${place}`, (result) => delivered.push(result));
        expect(delivered).toEqual(Array.from({ length: begun }, (_, i) => `result ${i}`));
      },
    ),
  );
});

test("nothing more is given out while the oldest is still under way", () => {
  const order = new DispatchOrder<number>(3);
  const delivered: number[] = [];
  const deliver = (result: number) => delivered.push(result);
  expect([order.begin(), order.begin(), order.begin(), order.begin()]).toEqual([0, 1, 2, -1]);
  order.complete(2, 20, deliver);
  order.complete(1, 10, deliver);
  expect([order.begin(), ...delivered]).toEqual([-1]);
  order.complete(0, 0, deliver);
  expect(delivered).toEqual([0, 10, 20]);
  expect(order.begin()).toBe(3);
});

test("a result that cannot be delivered holds none of the others up", () => {
  const order = new DispatchOrder<number>(3);
  const delivered: number[] = [];
  const places = [order.begin(), order.begin(), order.begin()];
  const deliver = (result: number) => {
    delivered.push(result);
    if (result < 2) throw new Error(`no room for ${result}`);
  };
  order.complete(places[2] as number, 2, deliver);
  order.complete(places[1] as number, 1, deliver);
  expect(() => order.complete(places[0] as number, 0, deliver)).toThrow("no room for 0");
  expect([delivered, order.pending]).toEqual([[0, 1, 2], 0]);
});

test("a result that is undefined is a result", () => {
  const order = new DispatchOrder<undefined>(1);
  let delivered = 0;
  order.complete(order.begin(), undefined, () => delivered++);
  expect([delivered, order.pending]).toEqual([1, 0]);
});

test("a place is completed once, and only if it was given out", () => {
  const order = new DispatchOrder<number>(2);
  const [first, second] = [order.begin(), order.begin()];
  order.complete(second, 1, () => expect.unreachable());
  for (const place of [second, 2, -1, 0.5, Number.NaN]) {
    expect(() => order.complete(place, 1, () => expect.unreachable())).toThrow(
      expect.objectContaining({ code: "not-pending", value: place }),
    );
  }
  order.complete(first, 0, () => {});
  expect(() => order.complete(first, 0, () => {})).toThrow(expect.objectContaining({ code: "not-pending" }));
});

test("it has room for 1 to 16,384", () => {
  for (const capacity of [0, 1.5, 16_385]) {
    expect(() => new DispatchOrder(capacity)).toThrow(expect.objectContaining({ code: "invalid-size" }));
  }
});
