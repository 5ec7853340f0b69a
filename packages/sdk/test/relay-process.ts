// A relay in a process of its own; prints its contact, and ends with its parent.
import { bytesToHex, Mesh } from "../src/index.ts";

const mesh = await Mesh.open(
  JSON.parse(process.argv[2] as string, (key, value) => (key === "psk" ? Uint8Array.from(value) : value)),
);
process.stdin.on("end", () => process.exit()).resume();
const { address, nodeId, publicKey } = mesh.contact;
process.stdout.write(
  `${JSON.stringify({ address, nodeId: String(nodeId), publicKey: bytesToHex(publicKey) })}\n`,
);
