import { describe, expect, it } from "vitest";
import {
  InvalidArgumentError,
  type Mesh,
  type SecurityMode,
  type SessionSecurity,
  TransportError,
} from "../src/index.ts";
import { bytes, openMesh, text } from "./open-mesh.ts";

/** Sends a word on a reliable stream and returns what arrived. */
async function tell(from: Mesh, to: Mesh, streamId: bigint): Promise<string> {
  const options = { streamId, reliability: "reliable" } as const;
  await using out = from.openStream(to.nodeId, options);
  await out.write(bytes("hello"));
  await out.end();
  let heard = "";
  for await (const { data } of to.openStream(from.nodeId, options)) heard += text(data);
  return heard;
}

describe("the security of a peer", () => {
  it.each<[SecurityMode | undefined, SecurityMode | undefined, SessionSecurity]>([
    [undefined, undefined, "forward-secret"],
    ["require", undefined, "forward-secret"],
    [undefined, "require", "forward-secret"],
    ["interop", undefined, "interop"],
    [undefined, "interop", "interop"],
  ])("of %s connected to %s is %s on both sides, over real sockets", async (mine, theirs, expected) => {
    const a = await openMesh(mine === undefined ? {} : { security: mine });
    const b = await openMesh(theirs === undefined ? {} : { security: theirs });
    const peer = await a.connect(b.contact);
    expect(await tell(a, b, 1n)).toBe("hello");
    expect(peer.security).toBe(expected);
    expect(b.peer(a.nodeId)?.security).toBe(expected);
    expect(peer.rekeys).toBe(0);
  });

  it("is the same through a relay, whatever the relay offers", async () => {
    const relay = await openMesh({ security: "interop" });
    const a = await openMesh();
    const b = await openMesh();
    await a.connect(relay.contact);
    await b.connect(relay.contact);
    const peer = await a.connectVia(relay.nodeId, b.contact);
    expect(peer.security).toBe("forward-secret");
    expect(a.peer(relay.nodeId)?.security).toBe("interop");
  });

  it("that is not enough makes connecting fail with insecure-peer, on the side that requires it", async () => {
    const strict = await openMesh({ security: "require" });
    const old = await openMesh({ security: "interop", handshakeTimeoutMs: 60 });
    const failure = strict.connect(old.contact);
    await expect(failure).rejects.toBeInstanceOf(TransportError);
    await expect(failure).rejects.toMatchObject({ code: "insecure-peer" });
    await expect(old.connect(strict.contact)).rejects.toMatchObject({ code: "handshake-timeout" });
    expect(strict.stats().counters.handshakeInsecure).toBeGreaterThan(1);
    expect([...strict.peers()]).toEqual([]);
  });

  it("of an unknown name is an argument error, as are impossible limits", async () => {
    for (const options of [{ security: "strong" as SecurityMode }, { rekey: { packets: 0 } }]) {
      const opening = openMesh(options);
      await expect(opening).rejects.toBeInstanceOf(InvalidArgumentError);
      await expect(opening).rejects.toMatchObject({ code: "config" });
    }
  });
});

describe("the keys of a session", () => {
  it("are renewed while streams go on, over real sockets", async () => {
    const a = await openMesh({ rekey: { packets: 20 } });
    const b = await openMesh();
    const peer = await a.connect(b.contact);
    for (let i = 1n; peer.rekeys === 0; i++) expect(await tell(a, b, i)).toBe("hello");
    expect(await tell(b, a, 1_000n)).toBe("hello");
    expect(b.peer(a.nodeId)?.rekeys).toBe(1);
    expect(a.stats().counters.rekeys).toBe(1);
  });
});
