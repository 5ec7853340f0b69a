import { readFileSync } from "node:fs";
import { expect, it } from "vitest";

const read = (path: string): string => readFileSync(new URL(path, import.meta.url), "utf8");

it("the document on forward secrecy quotes the vectors that the tests check", () => {
  const document = read("../../../docs/protocol/forward-secrecy.md");
  const vectors: Record<string, Record<string, string | number>> = JSON.parse(
    read("../../crypto/test/vectors/forward-secrecy.json"),
  );
  const values = Object.values(vectors).flatMap((group) => Object.values(group));
  expect(values.length).toBeGreaterThan(30);
  for (const value of values) expect(document).toContain(`\`${value}\``);
});
