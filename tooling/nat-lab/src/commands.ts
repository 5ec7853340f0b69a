import { execFileSync } from "node:child_process";

/** Runs a program to its end; gives what it prints. @throws with what it complained about. */
export function run(program: string, args: readonly string[], input?: string): string {
  return execFileSync(program, args, {
    encoding: "utf8",
    timeout: 30_000,
    stdio: ["pipe", "pipe", "pipe"],
    ...(input === undefined ? {} : { input }),
  });
}

/** The same, where a failure is of no interest. */
export function attempt(program: string, args: readonly string[]): void {
  try {
    run(program, args);
  } catch {
    // What was to be removed or reset is not there.
  }
}

/** Runs a program in a network namespace. */
export function runIn(namespace: string, program: string, args: readonly string[], input?: string): string {
  return run("ip", ["netns", "exec", namespace, program, ...args], input);
}
