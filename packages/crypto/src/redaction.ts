/** Stands where a secret would be printed. */
export const REDACTED = "[redacted]";

/** What a printed object shows: plain values, no secret among them. */
export type PublicView = Record<string, string | number | boolean>;

/** The method that `console.log` and `util.inspect` of Node look for; an ordinary symbol elsewhere. */
const INSPECT = Symbol.for("nodejs.util.inspect.custom");

/**
 * An object with secrets: whoever prints or serialises it sees `toJSON()` and nothing else (spec crypto.md
 * §5.3). Secrets themselves belong into `#private` fields.
 */
export abstract class Redacted {
  static {
    Object.defineProperty(Redacted.prototype, INSPECT, {
      value(this: Redacted): string {
        const shown = Object.entries(this.toJSON()).map(([name, value]) => `${name}: ${value}`);
        return `${this.constructor.name} { ${shown.join(", ")} }`;
      },
    });
  }

  /** What may be shown. */
  abstract toJSON(): PublicView;
}
