import { expect, it } from "vitest";
import { DEFAULT_BUFFER_BYTES, MIN_BUFFER_BYTES } from "../src/index.ts";
import { requestBuffer } from "../src/socket-buffers.ts";
import { systemCodeOf, toTransportError } from "../src/transport-error.ts";

function kernelWith(limit: number, asked: number[]): (bytes: number) => void {
  return (bytes) => {
    asked.push(bytes);
    if (bytes > limit) {
      throw Object.assign(new Error("no"), { code: "ERR_SOCKET_BUFFER_SIZE", info: { code: "ENOBUFS" } });
    }
  };
}

it("asks for half, and half again, until the kernel has the memory", () => {
  const asked: number[] = [];
  requestBuffer(kernelWith(1024 * 1024, asked), DEFAULT_BUFFER_BYTES);
  expect(asked).toEqual([4, 2, 1].map((mebibytes) => mebibytes * 1024 * 1024));
});

it("gives up below 256 KiB", () => {
  const asked: number[] = [];
  expect(() => requestBuffer(kernelWith(1000, asked), 600 * 1024)).toThrow(
    expect.objectContaining({ code: "socket", systemCode: "ENOBUFS" }),
  );
  expect(asked).toEqual([600 * 1024, 300 * 1024, MIN_BUFFER_BYTES]);
});

it("does not retry what halving will not help", () => {
  let calls = 0;
  const request = (): void => {
    calls += 1;
    throw Object.assign(new Error("no"), { code: "EBADF" });
  };
  expect(() => requestBuffer(request, DEFAULT_BUFFER_BYTES)).toThrow(
    expect.objectContaining({ systemCode: "EBADF" }),
  );
  expect(calls).toBe(1);
});

it("keeps the system's word for an error", () => {
  expect(systemCodeOf(new Error("no code"))).toBe("UNKNOWN");
  const cause = Object.assign(new Error("taken"), { code: "EADDRINUSE" });
  expect(toTransportError(cause, "binding")).toMatchObject({ code: "address-in-use", cause });
});
