/** A program that opens a mesh, connects to relays and stays: the other end that a doctor is asked about. Prints its contact. */
import { bytesToHex, hexToBytes, Mesh } from "@netmesh/sdk";
import { idText, parseLocatedContact } from "../src/doctor/contact.ts";

const [psk = "", ...relays] = process.argv.slice(2);
const mesh = await Mesh.open({ bind: "0.0.0.0:7000", psk: hexToBytes(psk) });
for (const relay of relays) await mesh.connect(parseLocatedContact(relay, "relay"));
process.stdout.write(
  `${JSON.stringify({ contact: `${idText(mesh.nodeId)}:${bytesToHex(mesh.noisePublicKey)}` })}\n`,
);
