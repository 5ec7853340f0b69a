import type { PerSide } from "./measurements/measurement.ts";
import type { Measurement } from "./report.ts";

const HEADINGS = [
  "measurement",
  "bytes",
  "rival",
  "median",
  "unit",
  "lowest–highest",
  "loss",
  "/ dgram",
  "/ tls",
  "/ noble",
  "/ C",
  "events/pkt",
  "CPU µs/event",
  "peak RSS MB",
];
/** Columns of words; the others are numbers and end at the right. */
const WORDS = new Set(["measurement", "rival", "unit"]);

/** The results as lines of text; a measurement without a result says that it failed, and why. */
export function formatTable(measurements: readonly Measurement[]): string {
  const rows = [HEADINGS, ...measurements.map(toRow)];
  const widths = HEADINGS.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        WORDS.has(HEADINGS[column] as string)
          ? cell.padEnd(widths[column] as number)
          : cell.padStart(widths[column] as number),
      )
      .join("  ")
      .trimEnd(),
  );
  const failures = new Set(measurements.flatMap(({ errors }) => errors.map((error) => `failed: ${error}`)));
  return [...lines, ...failures].join("\n");
}

function toRow(measurement: Measurement): string[] {
  const { name, payloadBytes, rival, unit, loss, ratios, eventsPerPacket } = measurement;
  const runs = measurement.runs.filter((run) => run !== null);
  const spread = runs.length < 2 ? "" : `${figure(Math.min(...runs))}–${figure(Math.max(...runs))}`;
  return [
    name,
    payloadBytes === 0 ? "" : String(payloadBytes),
    rival,
    measurement.median === null ? "FAILED" : figure(measurement.median),
    unit,
    spread,
    loss === null ? "" : `${(loss * 100).toFixed(1)} %`,
    times(ratios.dgram),
    times(ratios.tls),
    times(ratios.noble),
    times(ratios.c),
    eventsPerPacket === null ? "" : eventsPerPacket.toFixed(1),
    sides(measurement.cpuMicrosecondsPerEvent, (value) => value.toFixed(value < 1 ? 3 : 1)),
    sides(measurement.peakRssBytes, (value) => (value / 1e6).toFixed(0)),
  ];
}

/** Three significant digits, with k and M for large numbers. */
export function figure(value: number): string {
  if (value >= 999_500) return `${(value / 1e6).toPrecision(3)} M`;
  if (value >= 9_995) return `${round(value / 1e3)} k`;
  return round(value);
}

function round(value: number): string {
  if (value === 0) return "0";
  return value >= 99.95 ? value.toFixed(0) : value.toPrecision(3);
}

function times(ratio: number | null): string {
  if (ratio === null) return "";
  return ratio < 0.1 && ratio > 0 ? `1/${(1 / ratio).toFixed(1)} ×` : `${ratio.toFixed(2)} ×`;
}

/** Sender, receiver, and the relay where there is one. */
function sides({ sender, receiver, relay }: PerSide, format: (value: number) => string): string {
  return [sender, receiver, relay]
    .filter((value) => value !== null)
    .map(format)
    .join(" / ");
}
