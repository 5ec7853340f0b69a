/** A listener with its own type of event. */
export type TypedListener<E> =
  | ((event: E) => void)
  | {
      /** Takes the event. */
      handleEvent(event: E): void;
    };

type Listener = Parameters<EventTarget["addEventListener"]>[1];
type AddOptions = Parameters<EventTarget["addEventListener"]>[2];
type RemoveOptions = Parameters<EventTarget["removeEventListener"]>[2];

interface ErrorDetails {
  readonly error: unknown;
  /** Set by whoever listens. */
  wasHeard?: boolean;
}

/**
 * An `EventTarget` whose event names and properties are known to the compiler. A listener that throws, or whose promise is
 * rejected, becomes an `error` event, or an uncaught error when nobody listens for that.
 */
export class TypedEventTarget<Map extends Record<string, object>> extends EventTarget {
  /** What was registered for each listener. */
  readonly #wrapped = new WeakMap<object, (event: Event) => void>();

  /** Calls the listener with every event of that type until the signal in `options` aborts or it is removed. */
  override addEventListener<K extends keyof Map & string>(
    type: K,
    listener: TypedListener<Event & Map[K]> | null,
    options?: AddOptions,
  ): void {
    if (listener === null) return;
    let wrapped = this.#wrapped.get(listener);
    if (wrapped === undefined) {
      wrapped = (event) => this.#call(listener as TypedListener<Event>, event);
      this.#wrapped.set(listener, wrapped);
    }
    super.addEventListener(type, wrapped as Listener, options);
  }

  /** Takes `addEventListener` back. */
  override removeEventListener<K extends keyof Map & string>(
    type: K,
    listener: TypedListener<Event & Map[K]> | null,
    options?: RemoveOptions,
  ): void {
    const wrapped = listener === null ? undefined : this.#wrapped.get(listener);
    if (wrapped !== undefined) super.removeEventListener(type, wrapped as Listener, options);
  }

  /** Dispatches an event with these properties. */
  protected announce<K extends keyof Map & string>(type: K, details: Map[K]): void {
    this.dispatchEvent(Object.assign(new Event(type), details));
  }

  /** Makes an `error` event of what a listener threw. */
  protected listenerFailed(error: unknown): void {
    const event: Event & ErrorDetails = Object.assign(new Event("error"), { error });
    this.dispatchEvent(event);
    if (event.wasHeard === true) return;
    queueMicrotask(() => {
      throw error;
    });
  }

  #call(listener: TypedListener<Event>, event: Event): void {
    if (event.type === "error") (event as Event & ErrorDetails).wasHeard = true;
    const failed = (error: unknown) => {
      if (event.type !== "error") this.listenerFailed(error);
      else
        queueMicrotask(() => {
          throw error;
        });
    };
    try {
      const result: unknown = typeof listener === "function" ? listener(event) : listener.handleEvent(event);
      if (result instanceof Promise) result.catch(failed);
    } catch (error) {
      failed(error);
    }
  }
}
