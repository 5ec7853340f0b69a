import { expect, it } from "vitest";
import { DatagramBatch } from "../src/datagram-batch.ts";
import { SocketAddress } from "../src/socket-address.ts";

it("keeps datagrams and their peers at the same index, without copying", () => {
  const batch = new DatagramBatch();
  const [a, b] = [SocketAddress.parse("10.0.0.1:1"), SocketAddress.parse("10.0.0.2:2")];
  const bytes = new Uint8Array(4);
  batch.push(bytes, a);
  batch.push(new Uint8Array(0), b);
  expect([batch.count, batch.bytes[0], batch.addresses[1]]).toEqual([2, bytes, b]);
  expect(batch.bytes[0]).toBe(bytes);
});

it("starts over after clear", () => {
  const batch = new DatagramBatch();
  const address = SocketAddress.parse("10.0.0.1:1");
  batch.push(new Uint8Array(1), address);
  batch.clear();
  expect(batch.count).toBe(0);
  const next = new Uint8Array(2);
  batch.push(next, address);
  expect([batch.count, batch.bytes[0]]).toEqual([1, next]);
});
