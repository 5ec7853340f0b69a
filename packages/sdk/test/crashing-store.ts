import { MemorySnapshotStore } from "@netmesh/compute";

/** What makes an operation of a store: its name, and the first parts of the name of a marker. */
type Operation = string;

/** Where a process ends: at an operation of its store, counted from 0, before it has happened or after. */
export interface CrashPoint {
  readonly operation: number;
  readonly isDone: boolean;
}

/**
 * A store that outlives the process that uses it. At its crash point `onCrash` is told, and from then on nothing that is asked of it is answered.
 */
export class CrashingStore extends MemorySnapshotStore {
  onCrash: (() => void) | undefined;
  #point: CrashPoint | undefined;
  #operations: Operation[] = [];
  #isDead = false;

  /** Crashes at that point, counted from now. */
  crashAt(point: CrashPoint): void {
    this.#point = point;
    this.#operations = [];
  }

  /** The process is gone; the next one finds what was stored. */
  restart(): void {
    this.#isDead = false;
    this.#point = undefined;
  }

  /** The operations since the last crash point was set. */
  get operations(): readonly Operation[] {
    return this.#operations;
  }

  override put(...args: Parameters<MemorySnapshotStore["put"]>): Promise<boolean> {
    return this.#do("put", () => super.put(...args));
  }

  override forget(entityId: Uint8Array): Promise<void> {
    return this.#do("forget", () => super.forget(entityId));
  }

  override putMarker(name: string, value: Uint8Array): Promise<void> {
    return this.#do(`put ${roleOf(name)}`, () => super.putMarker(name, value));
  }

  override deleteMarker(name: string): Promise<boolean> {
    return this.#do(`delete ${roleOf(name)}`, () => super.deleteMarker(name));
  }

  async #do<T>(operation: Operation, action: () => Promise<T>): Promise<T> {
    if (this.#isDead) return await never();
    const isPoint = this.#point?.operation === this.#operations.length;
    this.#operations.push(operation);
    if (!isPoint) return await action();
    this.#isDead = true;
    if (this.#point?.isDone === true) await action();
    this.onCrash?.();
    return await never();
  }
}

function roleOf(name: string): string {
  return name.split("/").slice(0, 2).join("/");
}

function never<T>(): Promise<T> {
  return new Promise<T>(() => undefined);
}
