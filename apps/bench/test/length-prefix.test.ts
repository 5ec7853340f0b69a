import { expect, test } from "vitest";
import { FrameReader, frame } from "../src/rivals/length-prefix.ts";

test("events come out as they went in, however the bytes are cut", () => {
  const events = ["", "a", "two words", "x".repeat(300)];
  const bytes = Buffer.concat(events.map((event) => frame(Buffer.from(event))));
  for (let size = 1; size <= bytes.length; size += 7) {
    const found: string[] = [];
    const reader = new FrameReader((event) => found.push(Buffer.from(event).toString()));
    for (let start = 0; start < bytes.length; start += size) reader.push(bytes.subarray(start, start + size));
    expect(found).toEqual(events);
  }
});
