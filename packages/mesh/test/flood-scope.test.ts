import { describe, expect, it } from "vitest";
import { FloodScope } from "../src/control/flood-scope.ts";

describe("the scope of floods", () => {
  it("is the whole mesh as long as that is small", () => {
    const scope = new FloodScope(10);
    for (let hops = 1; hops <= 10; hops++) scope.add(hops);
    expect(scope.radius).toBe(16);
  });

  it("ends where more nodes than the limit would be within", () => {
    const scope = new FloodScope(10);
    for (let i = 0; i < 4; i++) scope.add(1);
    for (let i = 0; i < 6; i++) scope.add(2);
    expect(scope.radius).toBe(16);
    scope.add(3);
    expect(scope.radius).toBe(2);
    scope.remove(3);
    expect(scope.radius).toBe(16);
  });

  it("takes in neighbours however many there are", () => {
    const scope = new FloodScope(10);
    for (let i = 0; i < 1_000; i++) scope.add(1);
    expect(scope.radius).toBe(1);
  });

  it("counts nodes that are farther than floods come as far", () => {
    const scope = new FloodScope(1);
    scope.add(17);
    scope.add(255);
    expect(scope.radius).toBe(15);
    scope.clear();
    expect(scope.radius).toBe(16);
  });
});
