/** One line of a {@link LineChart}: points in the order of their x. */
export interface Series {
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
  /** Lengths of dashes and gaps, for a line that something is compared with; drawn through without. */
  readonly dashes?: string;
  /** Lines of one color belong together. */
  readonly color: number;
}

/** What a chart shows. Both axes are logarithmic unless `isLinear`, which is about the y axis. */
export interface LineChart {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly series: readonly Series[];
  readonly isLinear?: boolean;
}

const WIDTH = 720;
const HEIGHT = 420;
const LEFT = 76;
const RIGHT = 200;
const TOP = 44;
const BOTTOM = 52;
/** Readable on white and on black alike. */
const COLORS: readonly string[] = ["#2f81f7", "#d9772b", "#2da35e", "#a05bd6"];
const INK = "#808080";
/** Upper ends of a linear axis, times a power of ten. */
const NICE_ENDS: readonly number[] = [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
const LINEAR_TICKS = 5;

/** A chart as an SVG document: axes, a grid, lines with points, a legend. The same text for the same chart. */
export function renderLineChart({ title, xLabel, yLabel, series, isLinear = false }: LineChart): string {
  const points = series.flatMap((line) => line.points);
  const x = logarithmic(
    points.map((point) => point[0]),
    LEFT,
    WIDTH - RIGHT,
  );
  const values = points.map((point) => point[1]);
  const y = isLinear
    ? linear(values, HEIGHT - BOTTOM, TOP)
    : logarithmic(
        values.filter((value) => value > 0),
        HEIGHT - BOTTOM,
        TOP,
      );
  const parts: string[] = [text((LEFT + WIDTH - RIGHT) / 2, 24, title, "middle", 15)];
  for (const tick of x.ticks) {
    parts.push(grid(x.at(tick), TOP, x.at(tick), HEIGHT - BOTTOM));
    parts.push(text(x.at(tick), HEIGHT - BOTTOM + 18, label(tick), "middle"));
  }
  for (const tick of y.ticks) {
    parts.push(grid(LEFT, y.at(tick), WIDTH - RIGHT, y.at(tick)));
    parts.push(text(LEFT - 8, y.at(tick) + 4, label(tick), "end"));
  }
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, xLabel, "middle"));
  const middle = (TOP + HEIGHT - BOTTOM) / 2;
  parts.push(`<g transform="rotate(-90 18 ${middle})">${text(18, middle, yLabel, "middle")}</g>`);
  series.forEach((line, i) => {
    const drawn = line.points.filter((point) => isLinear || point[1] > 0);
    const color = COLORS[line.color % COLORS.length] as string;
    const dashes = line.dashes === undefined ? "" : ` stroke-dasharray="${line.dashes}"`;
    const path = drawn.map(([px, py]) => `${round(x.at(px))},${round(y.at(py))}`).join(" ");
    parts.push(`<polyline points="${path}" fill="none" stroke="${color}" stroke-width="2"${dashes}/>`);
    for (const [px, py] of drawn) {
      parts.push(`<circle cx="${round(x.at(px))}" cy="${round(y.at(py))}" r="3.5" fill="${color}"/>`);
    }
    const at = TOP + 12 + 20 * i;
    const from = WIDTH - RIGHT + 16;
    parts.push(
      `<line x1="${from}" y1="${at}" x2="${from + 26}" y2="${at}" stroke="${color}" stroke-width="2"${dashes}/>`,
    );
    parts.push(text(from + 34, at + 4, line.name, "start"));
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" fill="${INK}">`,
    `<title>${escaped(title)}</title>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}

interface Axis {
  readonly ticks: readonly number[];
  /** Where a value is, in pixels. */
  at(value: number): number;
}

/** From the power of ten below the least value to that above the greatest. */
function logarithmic(values: readonly number[], from: number, to: number): Axis {
  const least = Math.floor(Math.log10(Math.min(...values)));
  const greatest = Math.max(least + 1, Math.ceil(Math.log10(Math.max(...values)) - 1e-9));
  const ticks = Array.from({ length: greatest - least + 1 }, (_, i) => 10 ** (least + i));
  const at = (value: number) => from + ((Math.log10(value) - least) / (greatest - least)) * (to - from);
  return { ticks, at };
}

/** From 0 to a round number above the greatest value. */
function linear(values: readonly number[], from: number, to: number): Axis {
  const greatest = Math.max(1e-9, ...values);
  const power = 10 ** Math.floor(Math.log10(greatest));
  const end = power * (NICE_ENDS.find((nice) => nice * power >= greatest) as number);
  const ticks = Array.from({ length: LINEAR_TICKS + 1 }, (_, i) => (end * i) / LINEAR_TICKS);
  return { ticks, at: (value) => from + (value / end) * (to - from) };
}

function label(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 3 });
}

function text(x: number, y: number, content: string, anchor: string, size = 12): string {
  return `<text x="${round(x)}" y="${round(y)}" text-anchor="${anchor}" font-size="${size}">${escaped(content)}</text>`;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}

function grid(x1: number, y1: number, x2: number, y2: number): string {
  const [a, b, c, d] = [x1, y1, x2, y2].map(round);
  return `<line x1="${a}" y1="${b}" x2="${c}" y2="${d}" stroke="${INK}" stroke-opacity="0.25"/>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
