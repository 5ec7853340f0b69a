import type { DaemonTime } from "../../time.ts";

/** Actions under way at once. */
const MAX_PARALLEL = 32;

/**
 * Runs an action for each item, some at a time, and begins no more of them after `limitMs`. Resolves when all are done, or by then;
 * what fails is as good as done.
 */
export async function inParallel<T>(
  items: readonly T[],
  limitMs: number,
  time: DaemonTime,
  action: (item: T) => Promise<void>,
): Promise<void> {
  if (items.length === 0) return;
  const rest = [...items];
  const work = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) {
      await action(item).catch(() => undefined);
    }
  };
  const all = Promise.all(Array.from({ length: Math.min(MAX_PARALLEL, items.length) }, work));
  await new Promise<void>((resolve) => {
    const timer = time.after(limitMs, () => {
      rest.length = 0;
      resolve();
    });
    void all.then(() => {
      time.cancel(timer);
      resolve();
    });
  });
}
