/** Worker threads of Node and Web Workers behind one face, so that one test runs on both. */

interface NodeWorker {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  on(event: "message" | "error", listener: (value: unknown) => void): void;
  terminate(): Promise<unknown>;
}

interface WebWorker {
  postMessage(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  onmessage: (event: { data: unknown }) => void;
  onerror: (event: { message: string }) => void;
  terminate(): void;
}

interface Host {
  process?: { getBuiltinModule?(name: "node:worker_threads"): { Worker: new (url: URL) => NodeWorker } };
  Worker: new (url: URL, options: { type: "module" }) => WebWorker;
}

const host = globalThis as unknown as Host;

/** A running thread, and what it has posted. */
export class Thread {
  readonly #messages: unknown[] = [];
  readonly #waiting: { resolve: (message: unknown) => void; reject: (error: unknown) => void }[] = [];
  readonly #worker: NodeWorker | WebWorker;

  /** Starts the module at `url`. */
  constructor(url: URL) {
    const node = host.process?.getBuiltinModule?.("node:worker_threads");
    if (node !== undefined) {
      const worker = new node.Worker(url);
      worker.on("message", (message) => this.#arrive(message));
      worker.on("error", (error) => this.#fail(error));
      this.#worker = worker;
    } else {
      const worker = new host.Worker(url, { type: "module" });
      worker.onmessage = ({ data }) => this.#arrive(data);
      worker.onerror = ({ message }) => this.#fail(new Error(message));
      this.#worker = worker;
    }
  }

  /** Posts a message; what is in `transfer` moves instead of being copied. */
  postMessage(message: unknown, transfer: readonly ArrayBuffer[] = []): void {
    this.#worker.postMessage(message, transfer);
  }

  /** The next message of the thread, in order. Rejects when the thread dies. */
  next<T>(): Promise<T> {
    if (this.#messages.length > 0) return Promise.resolve(this.#messages.shift() as T);
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve: resolve as (message: unknown) => void, reject });
    });
  }

  /** Ends the thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #arrive(message: unknown): void {
    const first = this.#waiting.shift();
    if (first === undefined) this.#messages.push(message);
    else first.resolve(message);
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}
