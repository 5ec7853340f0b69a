import { createInterface } from "node:readline";

/** What a process prints when it fails. */
export interface FailedMessage {
  readonly event: "failed";
  readonly code: string;
  readonly message: string;
}

/** The messages of one kind. */
export type MessageOf<M extends { readonly event: string }, E extends M["event"]> = Extract<M, { event: E }>;

/** Whether a message is of that kind. */
export function is<M extends { readonly event: string }, E extends M["event"]>(
  event: E,
): (message: M) => message is MessageOf<M, E> {
  return (message): message is MessageOf<M, E> => message.event === event;
}

/** Prints a message for the parent process. */
export function tell<M extends { readonly event: string }>(message: M): void {
  process.stdout.write(`${JSON.stringify(message)}\n`);
}

/** Runs a process of the demo; a failure is told to the parent and becomes the exit code. */
export async function runProcess(main: () => Promise<void>): Promise<void> {
  try {
    await main();
  } catch (error) {
    const { code = "unexpected", message } = error as { code?: string; message: string };
    const failed: FailedMessage = { event: "failed", code, message };
    tell(failed);
    process.exitCode = 1;
  }
}

/** Calls back with each command of the parent process; a failure is told to it. */
export function onCommand<C>(run: (command: C) => Promise<void>): void {
  createInterface({ input: process.stdin }).on("line", (line) => {
    void runProcess(() => run(JSON.parse(line) as C));
  });
}
