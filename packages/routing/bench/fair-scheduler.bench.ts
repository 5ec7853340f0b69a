import { DatagramBatch, SocketAddress } from "@netmesh/wire";
import { bench, describe } from "vitest";
import { buildRoutedPacket, FairScheduler, Router, RoutingTable } from "../src/index.ts";

/** Packets that a sample moves; divide by it for one. */
const PACKETS = 100_000;
const HOP = SocketAddress.parse("10.0.0.7:9007");

describe(`${PACKETS} × enqueue and dequeue`, () => {
  for (const streams of [1, 10, 100, 10_000]) {
    const scheduler = new FairScheduler();
    const packet = new Uint8Array(1200);
    // Every stream has a packet waiting, so that all of them take part in the rounds.
    for (let stream = 0; stream < streams; stream++) scheduler.enqueue(packet, HOP, stream, 0, false, 0);
    let taken = 0;
    bench(`${streams} streams`, () => {
      for (let i = 0; i < PACKETS; i++) {
        scheduler.enqueue(packet, HOP, i % streams, 0, false, i);
        taken += scheduler.dequeue()?.bytes.length ?? 0;
      }
      if (taken === 0) throw new Error("nothing came out");
    });
  }
});

describe(`${PACKETS} × route and drain, batches of 64`, () => {
  for (const destinations of [1, 64]) {
    const table = new RoutingTable(1n);
    const packets = Array.from({ length: 64 }, (_, i) => {
      const id = BigInt(100 + (i % destinations));
      table.addRoute(id, SocketAddress.parse(`10.0.1.${i % destinations}:9000`), 0);
      return buildRoutedPacket(5n, id, 255, new Uint8Array(1182));
    });
    const router = new Router(table);
    const batch = new DatagramBatch();
    bench(`${destinations} next hops`, () => {
      for (let i = 0; i < PACKETS; i += 64) {
        for (const packet of packets) {
          packet[2] = 255;
          router.route(packet, 0);
        }
        batch.clear();
        if (router.drain(batch, 0) !== 64) throw new Error("packets were lost");
      }
    });
  }
});
