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

/** An `EventTarget` whose event names and properties are known to the compiler. */
export class TypedEventTarget<Map extends Record<string, object>> extends EventTarget {
  /** Calls the listener with every event of that type until the signal in `options` aborts or it is removed. */
  override addEventListener<K extends keyof Map & string>(
    type: K,
    listener: TypedListener<Event & Map[K]> | null,
    options?: AddOptions,
  ): void {
    super.addEventListener(type, listener as Listener, options);
  }

  /** Takes `addEventListener` back. */
  override removeEventListener<K extends keyof Map & string>(
    type: K,
    listener: TypedListener<Event & Map[K]> | null,
    options?: RemoveOptions,
  ): void {
    super.removeEventListener(type, listener as Listener, options);
  }

  /** Dispatches an event with these properties. */
  protected announce<K extends keyof Map & string>(type: K, details: Map[K]): void {
    this.dispatchEvent(Object.assign(new Event(type), details));
  }
}
