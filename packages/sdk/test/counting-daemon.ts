import type { DaemonFactory } from "../src/index.ts";

/** Kind of the daemons in these tests. */
export const KIND = "counter";

/** Counts its events, and says how many there were. */
export const counter: DaemonFactory = () => {
  let count = 0;
  return {
    name: KIND,
    process: () => number(++count),
    snapshot: () => number(count),
    restore: (state) => {
      count = toNumber(state);
    },
  };
};

/** A number as a payload. */
export const number = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value);
  return bytes;
};

/** The number in a payload. */
export const toNumber = (bytes: Uint8Array | undefined): number =>
  bytes === undefined ? Number.NaN : new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
