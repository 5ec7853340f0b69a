// A worker thread that opens a transport, says so, and never closes it.
import { parentPort, workerData } from "node:worker_threads";
import { UdpTransport } from "../src/index.ts";

const transport = await UdpTransport.bind("127.0.0.1:0", workerData);
transport.listen({ receive: () => undefined });
parentPort?.postMessage(transport.stats().mode);
