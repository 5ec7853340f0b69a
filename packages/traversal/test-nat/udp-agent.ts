/**
 * A program that binds UDP ports, prints a line of JSON for everything that arrives, and sends what lines of JSON on its
 * input tell it to.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A line that the program reads. */
export interface Sending {
  readonly text: string;
  readonly to: string;
  readonly port: number;
  /** Which of its ports it sends from. */
  readonly from: number;
}

/** A line that the program prints. */
export type AgentLine =
  | { readonly event: "ready" }
  | { readonly event: "sent"; readonly text: string }
  | { readonly event: "got"; readonly text: string; readonly host: string; readonly port: number };

function tell(line: AgentLine): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const sockets = new Map(
  process.argv.slice(2).map((argument) => [Number(argument), createSocket("udp4")] as const),
);
for (const [port, socket] of sockets) {
  socket.on("message", (bytes, from) => {
    tell({ event: "got", text: String(bytes), host: from.address, port: from.port });
  });
  socket.bind(port);
  await once(socket, "listening");
}
tell({ event: "ready" });
for await (const line of createInterface(process.stdin)) {
  const { text, to, port, from } = JSON.parse(line) as Sending;
  await new Promise((resolve) => sockets.get(from)?.send(text, port, to, resolve));
  tell({ event: "sent", text });
}
process.exit();
