import { describe, expect, it } from "vitest";
import { InvalidArgumentError, type SubprotocolMessage, TransportError } from "../src/index.ts";
import { bytes, openMesh, text } from "./open-mesh.ts";

const ID = 0x2001;

describe("a subprotocol", () => {
  it("brings messages to its handler, empty ones too, and not to events()", async () => {
    const { a, b } = await connected();
    const events = b.events();
    const messages = inbox(b, ID);
    const out = a.subprotocol(ID);
    await out.send(b.nodeId, bytes("hello"));
    await out.send(b.nodeId, bytes(""));
    await a.send(b.nodeId, bytes("an ordinary event"));
    expect(text((await events.next()).value?.data as Uint8Array)).toBe("an ordinary event");
    expect(messages).toEqual([
      { peer: a.nodeId, data: bytes("hello") },
      { peer: a.nodeId, data: bytes("") },
    ]);
    expect(b.stats().counters.messagesReceived).toBe(2);
    expect(a.stats().counters.messagesSent).toBe(2);
  });

  it("crosses a relay, and the relay's own handler sees nothing", async () => {
    const relay = await openMesh();
    const b = await openMesh();
    await b.connect(relay.contact);
    const a = await openMesh();
    await a.connect(relay.contact);
    await a.connectVia(relay.nodeId, b.contact);
    const atRelay = inbox(relay, ID);
    const atB = inbox(b, ID);
    const events = b.events();
    await a.subprotocol(ID).send(b.nodeId, bytes("far"));
    await a.send(b.nodeId, bytes("end"));
    await events.next();
    expect(atB).toHaveLength(1);
    expect(atRelay).toHaveLength(0);
  });

  it("is an ordinary event at a node that does not handle it, and again once the handler is disposed of", async () => {
    const { a, b } = await connected();
    const events = b.events();
    const out = a.subprotocol(ID);
    const handler = b.subprotocol(ID);
    handler[Symbol.dispose]();
    handler.close();
    await out.send(b.nodeId, bytes("nobody knows it"));
    const { value } = await events.next();
    expect(value?.subprotocolId).toBe(ID);
    expect(value?.streamId).toBe(BigInt(ID));
    expect(text(value?.data as Uint8Array)).toBe("nobody knows it");
  });

  it("belongs to one handler, and ids that the mesh uses to none", async () => {
    const a = await openMesh();
    const first = a.subprotocol(ID);
    const taken = { name: "SubprotocolError", code: "subprotocol-in-use" };
    expect(() => a.subprotocol(ID)).toThrow(expect.objectContaining(taken));
    for (const id of [0, 0x0500, 0x0a00, 0x0b00, 0x0c00, 0x0d00, 0x1000, 0x1100, 0x6e6d]) {
      expect(() => a.subprotocol(id)).toThrow(expect.objectContaining(taken));
    }
    for (const id of [-1, 65_536, 1.5, Number.NaN]) {
      expect(() => a.subprotocol(id)).toThrow(InvalidArgumentError);
    }
    first.close();
    a.subprotocol(ID);
    // A second close of the old handle does not take the id away from the new one.
    first.close();
    expect(() => a.subprotocol(ID)).toThrow(expect.objectContaining(taken));
  });

  it("refuses unknown peers, messages beyond one datagram, and what is no bytes, before anything is sent", async () => {
    const { a, b } = await connected();
    const out = a.subprotocol(ID);
    await expect(out.send(1n, bytes("x"))).rejects.toThrow(TransportError);
    await expect(out.send(b.nodeId, new Uint8Array(8_105))).rejects.toMatchObject({
      code: "message-too-large",
      limit: 8_104,
    });
    await expect(out.send(b.nodeId, "text" as never)).rejects.toThrow(InvalidArgumentError);
    await expect(out.send(7 as never, bytes("x"))).rejects.toThrow(InvalidArgumentError);
    await expect(out.send(b.nodeId, bytes("x"), { signal: AbortSignal.abort() })).rejects.toThrow();
    expect(a.stats().counters.messagesSent).toBe(0);
  });

  it("announces what its handler throws, and goes on", async () => {
    const { a, b } = await connected();
    const errors: unknown[] = [];
    b.addEventListener("error", ({ error }) => errors.push(error));
    const seen: string[] = [];
    b.subprotocol(ID, {
      onMessage: ({ data }) => {
        seen.push(text(data));
        if (seen.length === 1) throw new Error("the handler's own");
      },
    });
    const events = b.events();
    const out = a.subprotocol(ID);
    await out.send(b.nodeId, bytes("one"));
    await out.send(b.nodeId, bytes("two"));
    await a.send(b.nodeId, bytes("end"));
    await events.next();
    expect(seen).toEqual(["one", "two"]);
    expect(errors).toEqual([new Error("the handler's own")]);
  });
});

async function connected() {
  const a = await openMesh();
  const b = await openMesh();
  await a.connect(b.contact);
  return { a, b };
}

function inbox(mesh: Awaited<ReturnType<typeof openMesh>>, id: number): SubprotocolMessage[] {
  const messages: SubprotocolMessage[] = [];
  mesh.subprotocol(id, { onMessage: (message) => messages.push(message) });
  return messages;
}
