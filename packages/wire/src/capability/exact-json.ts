/** A JSON value with exact integers: any number written without point and exponent is a bigint. */
export type ExactJson = null | boolean | string | bigint | number | readonly ExactJson[] | ExactObject;

/** A JSON object by key; of keys that occur more than once the last counts, and `repeated` names one of them. */
export interface ExactObject {
  readonly members: ReadonlyMap<string, ExactJson>;
  readonly repeated: string | undefined;
}

/** Values inside values; more is taken for an attack on the stack. */
const MAX_DEPTH = 32;
const NUMBER = /-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?/y;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they may not stand in a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const SPACE = /[ \t\n\r]*/y;

/** Reads a JSON text (RFC 8259). `undefined` when it is none, or nested more than 32 deep. */
export function parseExactJson(text: string): ExactJson | undefined {
  const reader = new JsonReader(text);
  const value = reader.value(0);
  return value !== undefined && reader.isAtEnd ? value : undefined;
}

/** Whether the value is an object. */
export function isObject(value: ExactJson | undefined): value is ExactObject {
  return typeof value === "object" && value !== null && "members" in value;
}

class JsonReader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get isAtEnd(): boolean {
    this.#match(SPACE);
    return this.#at === this.#text.length;
  }

  value(depth: number): ExactJson | undefined {
    if (depth > MAX_DEPTH) return undefined;
    this.#match(SPACE);
    switch (this.#text[this.#at]) {
      case "{":
        return this.#object(depth);
      case "[":
        return this.#array(depth);
      case '"':
        return this.#string();
      case "t":
        return this.#word("true") ? true : undefined;
      case "f":
        return this.#word("false") ? false : undefined;
      case "n":
        return this.#word("null") ? null : undefined;
      default:
        return this.#number();
    }
  }

  #object(depth: number): ExactObject | undefined {
    const members = new Map<string, ExactJson>();
    let repeated: string | undefined;
    this.#at++;
    if (this.#takes("}")) return { members, repeated };
    do {
      this.#match(SPACE);
      const key = this.#string();
      if (key === undefined || !this.#takes(":")) return undefined;
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      if (members.has(key)) repeated = key;
      members.set(key, value);
    } while (this.#takes(","));
    return this.#takes("}") ? { members, repeated } : undefined;
  }

  #array(depth: number): ExactJson[] | undefined {
    const values: ExactJson[] = [];
    this.#at++;
    if (this.#takes("]")) return values;
    do {
      const value = this.value(depth + 1);
      if (value === undefined) return undefined;
      values.push(value);
    } while (this.#takes(","));
    return this.#takes("]") ? values : undefined;
  }

  #string(): string | undefined {
    const literal = this.#match(STRING);
    if (literal === undefined) return undefined;
    if (!literal.includes("\\")) return literal.slice(1, -1);
    const text = JSON.parse(literal) as string;
    return isWellFormed(text) ? text : undefined;
  }

  #number(): bigint | number | undefined {
    const literal = this.#match(NUMBER);
    if (literal === undefined || literal === "") return undefined;
    return /[.eE]/.test(literal) || literal === "-0" ? Number(literal) : BigInt(literal);
  }

  #word(word: string): boolean {
    if (!this.#text.startsWith(word, this.#at)) return false;
    this.#at += word.length;
    return true;
  }

  #takes(character: string): boolean {
    this.#match(SPACE);
    if (this.#text[this.#at] !== character) return false;
    this.#at++;
    return true;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found !== undefined) this.#at += found.length;
    return found;
  }
}

/** Whether no half of a surrogate pair stands alone: such text has no UTF-8. */
export function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

/** The text as a JSON string with as few escapes as there may be: what has a short one, and other control characters. */
export function quoteJson(text: string): string {
  const escaped = text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped
    /["\\\u0000-\u001f]/g,
    (character) => SHORT_ESCAPES[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `"${escaped}"`;
}

/** Orders text by its UTF-8 bytes, which is the order of its code points. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return order(x) - order(y);
  }
  return a.length - b.length;
}

/** UTF-16 puts surrogates, which stand for the highest code points, below U+E000 to U+FFFF. */
function order(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
