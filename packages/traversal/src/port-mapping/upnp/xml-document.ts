import { SaxesParser } from "saxes";

/** An element: its local name, its direct text, its children. Attributes and prefixes are of no interest here. */
export interface XmlElement {
  readonly name: string;
  readonly text: string;
  readonly children: readonly XmlElement[];
}

/** Deepest nesting that is read. */
const MAX_DEPTH = 32;

/** Most elements that are read. */
const MAX_ELEMENTS = 4096;

interface OpenElement {
  readonly name: string;
  text: string;
  readonly children: OpenElement[];
}

/**
 * Reads a document of an untrusted router. Document types are refused, and with them all entities but the five of XML itself.
 * @throws {Error} when it is not well-formed, not UTF-8, declares a document type or exceeds the limits.
 */
export function parseXml(bytes: Uint8Array): XmlElement {
  // Some routers send the zero byte that ends the text in their memory.
  const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes).replace(/[\0\s]+$/, "");
  const parser = new SaxesParser({ xmlns: false, position: false });
  const open: OpenElement[] = [];
  let root: OpenElement | undefined;
  let elements = 0;
  const append = (data: string): void => {
    const top = open.at(-1);
    if (top !== undefined) top.text += data;
  };
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("doctype", () => {
    throw new Error("a document type");
  });
  parser.on("opentag", (tag) => {
    elements += 1;
    if (elements > MAX_ELEMENTS || open.length >= MAX_DEPTH) throw new Error("too many elements");
    const element: OpenElement = { name: localName(tag.name), text: "", children: [] };
    open.at(-1)?.children.push(element);
    root ??= element;
    open.push(element);
  });
  parser.on("text", append);
  parser.on("cdata", append);
  parser.on("closetag", () => {
    open.pop();
  });
  parser.write(text).close();
  if (root === undefined) throw new Error("no element");
  return root;
}

/** The first child of that name. */
export function childOf(element: XmlElement | undefined, name: string): XmlElement | undefined {
  return element?.children.find((child) => child.name === name);
}

/** The trimmed text of the first child of that name; empty without one. */
export function textOf(element: XmlElement | undefined, name: string): string {
  return childOf(element, name)?.text.trim() ?? "";
}

function localName(name: string): string {
  return name.slice(name.indexOf(":") + 1);
}
