/**
 * A program that opens meshes and does with them what it is told: it reads a call a line, and prints an answer a line, both JSON.
 * Moments are milliseconds of the system's monotonic clock, which all processes of a machine share.
 */
import { createInterface } from "node:readline";
import { bytesToHex, hexToBytes, Mesh, type NetError, type PeerContact } from "../src/index.ts";

/** What it takes to connect to a mesh; node id and key in hexadecimal. */
export interface Contact {
  readonly nodeId: string;
  readonly publicKey: string;
  readonly address: string;
}

/** How a mesh is opened. */
export interface OpenOptions {
  readonly port: number;
  readonly portMapping?: boolean;
  /** Whether relayed sessions look for direct paths by themselves. */
  readonly upgrade: boolean;
}

/** What a mesh knows of its NAT. */
export interface Standing {
  readonly natType: string;
  readonly reflexAddress: string | null;
  /** External address of a port mapping. */
  readonly mapped: string | null;
  /** Since the mesh was asked to open until it was open, until its class was known, and until the mapping was there. */
  readonly openMs: number;
  readonly knownMs: number | null;
  readonly mappedMs: number | null;
}

/** What came of connecting. */
export interface Reached {
  readonly path: string;
  readonly reason: string;
  readonly startMs: number;
  /** When the session was there, and when the call came back. */
  readonly connectedMs: number;
  readonly endMs: number;
}

/** What can be asked of the program: names of methods, what they take, what they give. */
export interface Calls {
  open(name: string, options: OpenOptions): Contact;
  close(name: string): null;
  /** Sessions with these, at their addresses. */
  meet(name: string, contacts: readonly Contact[]): null;
  /** How the mesh stands now. */
  standing(name: string): Standing;
  /** The class that a peer has announced. */
  peerNatType(name: string, nodeId: string): string;
  /** Connects by the shortest path and sends the first byte as soon as there is a session. */
  reach(name: string, contact: Contact): Reached;
  path(name: string, nodeId: string): string;
  /** Sends a byte to a peer every so often, from now on; 0 for no longer. */
  talk(name: string, nodeId: string, everyMs: number): null;
  /** Moments at which something of a peer has arrived. */
  arrivals(name: string, nodeId: string): readonly number[];
  /** Moments at which this mesh has introduced peers to each other, within ten milliseconds. */
  introductions(name: string): readonly number[];
}

/** Key of all meshes in laboratories. */
const PSK = new Uint8Array(32).fill(0x5a);
const POLL_MS = 10;

interface Entry {
  readonly mesh: Mesh;
  readonly startMs: number;
  readonly openMs: number;
  knownMs: number | null;
  mappedMs: number | null;
  readonly arrivals: Map<bigint, number[]>;
  readonly introductions: number[];
  readonly talks: Map<bigint, NodeJS.Timeout>;
  readonly poll: NodeJS.Timeout;
}

const entries = new Map<string, Entry>();

function now(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}

function entryOf(name: string): Entry {
  const entry = entries.get(name);
  if (entry === undefined) throw new Error(`no mesh '${name}'`);
  return entry;
}

function idOf(hex: string): bigint {
  return BigInt(`0x${hex}`);
}

function contactOf({ nodeId, publicKey, address }: Contact): PeerContact & { readonly address: string } {
  return { nodeId: idOf(nodeId), publicKey: hexToBytes(publicKey), address };
}

async function listen({ mesh, arrivals }: Entry): Promise<void> {
  for await (const { peer } of mesh.events()) {
    const moments = arrivals.get(peer) ?? [];
    moments.push(now());
    arrivals.set(peer, moments);
  }
}

/** Takes down what has changed since the last look. */
function look(entry: Entry): void {
  const { type, reflexAddress } = entry.mesh.nat;
  const { coordinator, portMappingActive } = entry.mesh.nat.stats();
  if (type !== "unknown" && reflexAddress !== undefined) entry.knownMs ??= now();
  if (portMappingActive) entry.mappedMs ??= now();
  while (entry.introductions.length < coordinator.introduced) entry.introductions.push(now());
}

const methods: {
  [Method in keyof Calls]: (
    ...args: Parameters<Calls[Method]>
  ) => ReturnType<Calls[Method]> | Promise<ReturnType<Calls[Method]>>;
} = {
  async open(name, { port, portMapping = false, upgrade }) {
    const startMs = now();
    const mesh = await Mesh.open({ bind: `0.0.0.0:${port}`, psk: PSK, portMapping, nat: { upgrade } });
    const entry: Entry = {
      mesh,
      startMs,
      openMs: now(),
      knownMs: null,
      mappedMs: null,
      arrivals: new Map(),
      introductions: [],
      talks: new Map(),
      poll: setInterval(() => look(entry), POLL_MS),
    };
    entries.set(name, entry);
    void listen(entry);
    const { nodeId, publicKey, address } = mesh.contact;
    return { nodeId: nodeId.toString(16), publicKey: bytesToHex(publicKey), address };
  },

  async close(name) {
    const { mesh, poll, talks } = entryOf(name);
    entries.delete(name);
    clearInterval(poll);
    for (const timer of talks.values()) clearInterval(timer);
    await mesh.shutdown({ graceMs: 0 });
    return null;
  },

  async meet(name, contacts) {
    const { mesh } = entryOf(name);
    await Promise.all(contacts.map((contact) => mesh.connect(contactOf(contact))));
    return null;
  },

  standing(name) {
    const entry = entryOf(name);
    const { mesh, startMs, openMs, knownMs, mappedMs } = entry;
    const { portMappingExternal } = mesh.nat.stats();
    const since = (moment: number | null): number | null => (moment === null ? null : moment - startMs);
    return {
      natType: mesh.nat.type,
      reflexAddress: mesh.nat.reflexAddress ?? null,
      mapped: portMappingExternal?.key ?? null,
      openMs: openMs - startMs,
      knownMs: since(knownMs),
      mappedMs: since(mappedMs),
    };
  },

  peerNatType: (name, nodeId) => entryOf(name).mesh.nat.peerNatType(idOf(nodeId)),

  async reach(name, contact) {
    const { mesh } = entryOf(name);
    const target = contactOf(contact);
    const startMs = now();
    let connectedMs = 0;
    const stop = new AbortController();
    mesh.addEventListener(
      "peer-connected",
      ({ peer }) => {
        if (peer.nodeId !== target.nodeId || connectedMs !== 0) return;
        connectedMs = now();
        const stream = mesh.openStream(target.nodeId, { streamId: 1n, reliability: "reliable" });
        void stream.write(Uint8Array.of(1));
      },
      { signal: stop.signal },
    );
    try {
      const { path, reason } = await mesh.connectDirect(target, { upgrade: false });
      return { path, reason, startMs, connectedMs, endMs: now() };
    } finally {
      stop.abort();
    }
  },

  path: (name, nodeId) => entryOf(name).mesh.peer(idOf(nodeId))?.path ?? "none",

  talk(name, nodeId, everyMs) {
    const { mesh, talks } = entryOf(name);
    const id = idOf(nodeId);
    clearInterval(talks.get(id));
    talks.delete(id);
    // What cannot be sent now shows as a gap at the other end.
    const say = () => void mesh.send(id, Uint8Array.of(2)).catch(() => {});
    if (everyMs > 0) talks.set(id, setInterval(say, everyMs));
    return null;
  },

  arrivals: (name, nodeId) => entryOf(name).arrivals.get(idOf(nodeId)) ?? [],

  introductions(name) {
    const entry = entryOf(name);
    look(entry);
    return entry.introductions;
  },
};

type Method = (...args: unknown[]) => unknown;

async function answer(line: string): Promise<void> {
  const { id, method, args } = JSON.parse(line) as { id: number; method: keyof Calls; args: unknown[] };
  let reply: object;
  try {
    reply = { id, result: await (methods[method] as Method)(...args) };
  } catch (error) {
    const { code, message } = error as NetError;
    reply = { id, error: `${method}: ${code ?? ""} ${message}` };
  }
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

for await (const line of createInterface(process.stdin)) void answer(line);
process.exit();
