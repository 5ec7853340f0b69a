// A mesh at one end of a chain of network namespaces; requests and answers are lines of JSON.
import { createHash, randomBytes } from "node:crypto";
import { createInterface } from "node:readline";
import { bytesToHex, hexToBytes, Mesh, type Peer } from "../src/index.ts";

const STREAM = { streamId: 7n, reliability: "reliable" } as const;

const { host, bind, ...options } = JSON.parse(process.argv[2] as string);
const literal = (host as string).includes(":") ? `[${host}]` : host;
const mesh = await Mesh.open({ bind: `${bind ?? literal}:0`, psk: new Uint8Array(32).fill(7), ...options });
let peer: Peer | undefined;

const answer = (value: object): void => {
  process.stdout.write(`${JSON.stringify(value)}\n`);
};
/** The other end, also when it is asked for before its first packet has arrived. */
const met = new Promise<Peer>((resolve) => {
  mesh.addEventListener("peer-connected", (event) => {
    peer = event.peer;
    resolve(event.peer);
  });
});

const requests: Record<string, (argument: never) => Promise<object>> = {
  /** Connects to a contact. */
  async connect(contact: string) {
    const [address = "", nodeId, publicKey = ""] = contact.split(" ");
    peer = await mesh.connect({ address, nodeId: BigInt(`0x${nodeId}`), publicKey: hexToBytes(publicKey) });
    return {};
  },
  /** Sends so many bytes on a stream; answers their hash. */
  async send(count: number) {
    const stream = mesh.openStream((await met).nodeId, STREAM);
    const bytes = randomBytes(count);
    await stream.writeBytes(bytes);
    await stream.end();
    return { hash: createHash("sha256").update(bytes).digest("hex") };
  },
  /** Reads the stream to its end; answers the hash of its bytes. */
  async receive() {
    const hash = createHash("sha256");
    for await (const { data } of mesh.openStream((await met).nodeId, STREAM)) hash.update(data);
    return { hash: hash.digest("hex") };
  },
  /** Answers the size of datagrams to the peer, and the counters of the socket. */
  async state() {
    return { datagramBytes: peer?.datagramBytes, socket: mesh.stats().socket };
  },
};

createInterface({ input: process.stdin }).on("line", async (line) => {
  const [[name, argument] = []] = Object.entries(JSON.parse(line));
  try {
    answer((await requests[name as string]?.(argument as never)) as object);
  } catch (error) {
    answer({ error: String(error) });
  }
});
const { port } = new URL(`udp://${mesh.localAddress}`);
answer({
  contact: [`${literal}:${port}`, mesh.nodeId.toString(16), bytesToHex(mesh.noisePublicKey)].join(" "),
});
