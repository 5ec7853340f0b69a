/** Daemons that are made in threads of their own by the tests of isolation. */
import type { CausalEvent, ControlEvent, Daemon, DaemonContext, DaemonOutput } from "../../src/index.ts";
import { CounterDaemon, text, u64 } from "../support/daemons.ts";

/** Does what it is told in the payload, and else counts. */
class Obedient extends CounterDaemon {
  override readonly name: string = "obedient";
  readonly requiredCapabilities: readonly string[] = ["gpu"];
  readonly context: DaemonContext;
  controls = 0;

  constructor(context: DaemonContext) {
    super();
    this.context = context;
  }

  override process(event?: CausalEvent): DaemonOutput {
    const order = event === undefined ? "" : text(event.payload);
    if (order === "throw") throw new Error("as told");
    if (order === "exit") process.exit(3);
    if (order === "hang") for (;;);
    if (order === "fill the heap") fillTheHeap();
    if (order === "throw later") setTimeout(() => throwLater(), 0);
    if (order === "nonsense") return 7 as never;
    if (order === "a function") return (() => {}) as never;
    if (order === "controls") return u64(BigInt(this.controls));
    if (order === "origin") return u64(this.context.originHash);
    if (order === "part") return new Uint8Array(1000).subarray(3, 5);
    return super.process();
  }

  onControl(_event: ControlEvent): void {
    this.controls++;
  }

  saturation(): number {
    return 0.25;
  }
}

function fillTheHeap(): never {
  const kept: string[][] = [];
  for (;;) kept.push(Array.from({ length: 10_000 }, (_, i) => `${i} of ${kept.length}`));
}

function throwLater(): never {
  throw new Error("later");
}

export default (context: DaemonContext): Daemon => new Obedient(context);

export const notAFunction = 7;

export function throwing(): never {
  throw new Error("no daemon today");
}

export function hanging(): never {
  for (;;);
}

export function pending(): Promise<Daemon> {
  return new Promise(() => {});
}

export function exiting(): never {
  process.exit(9);
}

export function nonsense(): unknown {
  return { name: 7 };
}

export function half(): unknown {
  return { name: "half", process: () => undefined, snapshot: () => new Uint8Array(0) };
}

/** Cannot be told to end. */
export function clinging(): Daemon {
  return {
    name: "clinging",
    process: () => undefined,
    dispose: () => new Promise(() => setInterval(() => {}, 1000)),
  };
}

/** Ends its thread at every event. */
export function dying(): Daemon {
  return { name: "dying", process: () => process.exit(1) };
}

/** Keeps a core busy. */
export function burning(): Daemon {
  return {
    name: "burning",
    process: ({ payload: [tenths = 1] }) => {
      const end = performance.now() + tenths * 100;
      while (performance.now() < end);
    },
  };
}
