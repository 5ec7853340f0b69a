import { bench, describe } from "vitest";
import {
  AAD_SIZE,
  classifyDatagram,
  EventFrameReader,
  encodeHeader,
  HEADER_SIZE,
  NetHeader,
  validateHeader,
  writeAad,
  writeEventFrame,
} from "../src/index.ts";

const packet = new Uint8Array(8192);
packet.set(encodeHeader({ flags: 1, payloadLength: 1000, eventCount: 10, streamId: 42n }));
const header = new NetHeader().wrap(packet);
const aad = new Uint8Array(AAD_SIZE);
let sink = 0;

describe("header", () => {
  bench("write the fields of a data packet", () => {
    header.wrap(packet).clear();
    header.flags = 1;
    header.counterLo = sink++;
    header.sessionIdLo = 0x90abcdef;
    header.sessionIdHi = 0x12345678;
    header.streamIdLo = 42;
    header.sequenceLo = sink;
    header.payloadLength = 1000;
    header.eventCount = 10;
  });

  bench("validate and read the fields of a data packet", () => {
    header.wrap(packet);
    sink += validateHeader(packet, 0, packet.length) + header.flags + header.counterLo + header.counterHi;
    sink += header.sessionIdLo + header.sessionIdHi + header.streamIdLo + header.streamIdHi;
    sink += header.sequenceLo + header.sequenceHi + header.payloadLength + header.eventCount;
  });

  bench("write the authenticated data", () => {
    writeAad(aad, 0, packet, 0);
  });

  bench("classify a datagram", () => {
    sink += classifyDatagram(packet, 1084);
  });
});

describe("event frames", () => {
  const event = new Uint8Array(64).fill(7);
  const payload = new Uint8Array(8192);
  const reader = new EventFrameReader();

  bench("write 100 events of 64 bytes", () => {
    let offset = HEADER_SIZE;
    for (let i = 0; i < 100; i++) offset = writeEventFrame(payload, offset, event);
  });

  bench("read 100 events of 64 bytes", () => {
    reader.wrap(payload, HEADER_SIZE, 6800, 100);
    while (reader.next()) sink += reader.end - reader.start;
  });
});
