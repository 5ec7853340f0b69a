import { readFileSync, writeFileSync } from "node:fs";

/** The document that takes what is measured, between two comments for each section; none unless asked for. */
const FILE = process.env["NETMESH_NAT_DOCUMENT"];

/** Puts what was measured where the document has a place for it. @throws when it has none. */
export function publish(section: string, markdown: string): void {
  if (FILE === undefined) return;
  const text = readFileSync(FILE, "utf8");
  const [begin, end] = [`<!-- measured: ${section} -->`, `<!-- end of ${section} -->`];
  const [from, to] = [text.indexOf(begin), text.indexOf(end)];
  if (from < 0 || to < from) throw new Error(`${FILE} has no place for '${section}'`);
  writeFileSync(FILE, `${text.slice(0, from + begin.length)}\n\n${markdown}\n\n${text.slice(to)}`);
}

/** A table whose columns are as wide as their widest cell. */
export function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...body.map(line)].join("\n");
}

/** A duration as people read it: `130 ms`, `1.7 s`. */
export function duration(ms: number): string {
  return ms < 995 ? `${Math.round(ms / 10) * 10} ms` : `${(ms / 1_000).toFixed(1)} s`;
}

/** The middle one of some figures. */
export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
