import { describe, expect, it } from "vitest";
import { bytes, openMesh, text } from "./open-mesh.ts";

describe("a listener", () => {
  it("that throws, or whose promise is rejected, becomes an error event, and the mesh goes on", async () => {
    const a = await openMesh();
    const b = await openMesh();
    const heard: unknown[] = [];
    b.addEventListener("error", ({ error }) => heard.push((error as Error).message));
    b.addEventListener("peer-connected", () => {
      throw new Error("thrown");
    });
    b.addEventListener("stream", async () => {
      throw new Error("rejected");
    });
    await a.connect(b.contact);
    const events = b.events();
    await a.send(b.nodeId, bytes("still here"));
    expect(text((await events.next()).value?.data ?? new Uint8Array())).toBe("still here");
    await expect.poll(() => heard).toEqual(["thrown", "rejected"]);
  });

  it("can be removed again", async () => {
    const a = await openMesh();
    const b = await openMesh();
    let calls = 0;
    const listener = () => {
      calls++;
    };
    b.addEventListener("peer-connected", listener);
    b.removeEventListener("peer-connected", listener);
    const heard = new Promise((resolve) => b.addEventListener("peer-connected", resolve, { once: true }));
    await a.connect(b.contact);
    await heard;
    expect(calls).toBe(0);
  });
});

describe("acceptPeers", () => {
  it("that throws refuses, and is reported", async () => {
    const a = await openMesh({ handshakeTimeoutMs: 50 });
    const b = await openMesh({
      acceptPeers: () => {
        throw new Error("no idea");
      },
    });
    const reported: unknown[] = [];
    b.addEventListener("error", ({ error }) => reported.push((error as Error).message));
    await expect(a.connect(b.contact)).rejects.toMatchObject({ code: "handshake-timeout" });
    expect(reported).toContain("no idea");
  });
});

describe("a stream opened with another reliability than its writer's", () => {
  it("is acknowledged as its writer needs it", async () => {
    const a = await openMesh();
    const b = await openMesh();
    await a.connect(b.contact);
    const out = a.openStream(b.nodeId, { streamId: 3n, reliability: "reliable" });
    const back = b.openStream(a.nodeId, { streamId: 3n });
    await out.write(["1", "2", "3"].map(bytes));
    await out.end({ timeoutMs: 5_000 });
    const seen: string[] = [];
    for await (const { data } of back) seen.push(text(data));
    expect(seen.sort()).toEqual(["1", "2", "3"]);
  });

  it("tells a writer whose reader has closed", async () => {
    const a = await openMesh();
    const b = await openMesh();
    await a.connect(b.contact);
    const settings = { streamId: 3n, reliability: "reliable" as const };
    const out = a.openStream(b.nodeId, settings);
    const back = b.openStream(a.nodeId, settings);
    await out.write(bytes("hello"));
    await back.events().next();
    await back.close();
    await expect(
      (async () => {
        for (;;) {
          await out.write(bytes("anybody?"), { timeoutMs: 5_000 });
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      })(),
    ).rejects.toMatchObject({ code: "stream-reset" });
  });
});
