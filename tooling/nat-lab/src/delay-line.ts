import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

/** What a delay line does to each packet, each way. */
export interface DelayOptions {
  readonly delayMs: number;
  /** Standard deviation of the delay. Default 0. */
  readonly jitterMs?: number;
}

const PROGRAM = fileURLToPath(new URL("./delay-line.js", import.meta.url));

/** A link between two namespaces that a small program forwards, for kernels without `netem`. */
export class DelayLine {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Makes the two devices; they carry IP packets, and have no addresses yet. */
  static open(
    left: readonly [namespace: string, device: string],
    right: readonly [namespace: string, device: string],
    options: DelayOptions,
  ): Promise<DelayLine> {
    const numbers = [options.delayMs, options.jitterMs ?? 0].map(String);
    const child = spawn(process.execPath, [PROGRAM, ...left, ...right, ...numbers], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    return new Promise((resolve, reject) => {
      child.once("error", reject);
      child.once("exit", (code) => reject(new Error(`the delay line ended with ${code}`)));
      child.stdout?.once("data", () => resolve(new DelayLine(child)));
    });
  }

  /** Removes the devices. */
  close(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#child.exitCode !== null) return resolve();
      this.#child.once("exit", () => resolve());
      this.#child.kill("SIGKILL");
    });
  }
}
