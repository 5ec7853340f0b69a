/** The inner end of a `Thread`. */

interface Port {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  addEventListener(type: "message", listener: (event: { data: unknown }) => void): void;
  /** Node's ports wait for it. */
  start?(): void;
}

interface Host {
  process?: { getBuiltinModule?(name: "node:worker_threads"): { parentPort: Port } };
}

const port: Port =
  (globalThis as unknown as Host).process?.getBuiltinModule?.("node:worker_threads").parentPort ??
  (globalThis as unknown as Port);

/** Posts to whoever has started this thread. */
export function post(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

/** Calls back with every message from there. */
export function onMessage(listener: (message: unknown) => void): void {
  port.addEventListener("message", ({ data }) => listener(data));
  port.start?.();
}
