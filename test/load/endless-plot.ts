/** Plots of these measurements as SVG: panels one below the other over one x axis, light and dark. */

export interface Series {
  readonly name: string;
  /** Lets a line below it be seen. */
  readonly dashed?: boolean;
  /** x and y; a y that is not finite leaves a gap. */
  readonly points: readonly (readonly [number, number])[];
}

export interface Panel {
  /** What y is, with its unit. */
  readonly title: string;
  readonly series: readonly Series[];
  /** The y axis; by default from 0 to a little over the largest value. */
  readonly range?: readonly [number, number];
  readonly logarithmic?: boolean;
}

export interface Figure {
  readonly title: string;
  readonly subtitle: string;
  /** What x is. */
  readonly xTitle: string;
  readonly panels: readonly Panel[];
}

const WIDTH = 760, LEFT = 64, RIGHT = 28, HEAD = 52, GAP = 46, PANEL = 128, FOOT = 44;
const PLOT = WIDTH - LEFT - RIGHT;

/** Colours that tell apart on white and on black, also for most who see few colours. */
const LIGHT = ["#0b5cad", "#c2410c", "#15803d", "#7e22ce"];
const DARK = ["#6cb6ff", "#fb923c", "#4ade80", "#d8a6ff"];

function style(): string {
  const colours = (list: readonly string[]) =>
    list.map((c, i) => `.l${i}{stroke:${c}}.t${i}{fill:${c}}`).join("");
  return "<style>" +
    ".back{fill:#fff}text{fill:#1f2328}.dim{fill:#59636e}.grid{stroke:#d8dee4}.axis{stroke:#8c959f}" +
    `${colours(LIGHT)}polyline{fill:none;stroke-width:1.8;stroke-linejoin:round}` +
    "@media(prefers-color-scheme:dark){.back{fill:#0d1117}text{fill:#e6edf3}.dim{fill:#9198a1}" +
    `.grid{stroke:#2a313a}.axis{stroke:#656c76}${colours(DARK)}}</style>`;
}

/** The figure as the text of an SVG file. */
export function figure({ title, subtitle, xTitle, panels }: Figure): string {
  const height = HEAD + panels.length * (PANEL + GAP) - GAP + FOOT + 12;
  const xs = panels.flatMap(({ series }) => series.flatMap(({ points }) => points.map(([x]) => x)));
  const most = Math.max(...xs);
  const parts = panels.flatMap((panel, i) =>
    draw(panel, HEAD + 16 + i * (PANEL + GAP), most, i === panels.length - 1)
  );
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="${escape(title)}">`,
    style(),
    `<rect class="back" width="${WIDTH}" height="${height}"/>`,
    `<text x="${LEFT}" y="20" font-size="15" font-weight="600">${escape(title)}</text>`,
    `<text class="dim" x="${LEFT}" y="38">${escape(subtitle)}</text>`,
    ...parts,
    `<text class="dim" x="${LEFT + PLOT / 2}" y="${height - 8}" text-anchor="middle">` +
    `${escape(xTitle)}</text>`,
    "</svg>",
    "",
  ].join("\n");
}

function draw(panel: Panel, top: number, most: number, isLast: boolean): string[] {
  const [low, high] = panel.range ?? [0, 1.08 * Math.max(...finiteValues(panel))];
  const scale = panel.logarithmic ? Math.log : (y: number) => y;
  const x = (value: number) => LEFT + value / most * PLOT;
  const y = (value: number) => {
    const share = (scale(value) - scale(low)) / (scale(high) - scale(low));
    return top + PANEL * (1 - Math.min(1, Math.max(0, share)));
  };
  const rows = (panel.logarithmic ? logTicks(low, high) : ticks(low, high)).flatMap((tick) => [
    `<line class="grid" x1="${LEFT}" x2="${LEFT + PLOT}" y1="${at(y(tick))}" y2="${at(y(tick))}"/>`,
    `<text class="dim" x="${LEFT - 8}" y="${at(y(tick) + 4)}" text-anchor="end">` +
    `${number(tick)}</text>`,
  ]);
  const columns = ticks(0, most).flatMap((tick) => [
    `<line class="axis" x1="${at(x(tick))}" x2="${at(x(tick))}" y1="${top + PANEL}" ` +
    `y2="${top + PANEL + 4}"/>`,
    ...(isLast
      ? [
        `<text class="dim" x="${at(x(tick))}" y="${top + PANEL + 18}" text-anchor="middle">` +
        `${number(tick)}</text>`,
      ]
      : []),
  ]);
  const lines = panel.series.flatMap(({ points, dashed }, i) =>
    runs(points).map((run) =>
      `<polyline class="l${i}"${dashed ? ' stroke-dasharray="5 5"' : ""} points="${
        run.map(([px, py]) => `${at(x(px))},${at(y(py))}`).join(" ")
      }"/>`
    )
  );
  const names = panel.series.map(({ name }, i) =>
    `<tspan class="t${i}" dx="${i === 0 ? 0 : 7}">${escape(name)}</tspan>`
  );
  return [
    `<text x="${LEFT}" y="${top - 8}" font-weight="600">${escape(panel.title)}</text>`,
    `<text x="${LEFT + PLOT}" y="${top - 8}" text-anchor="end">` +
    `${names.join('<tspan class="dim" dx="7">·</tspan>')}</text>`,
    ...rows,
    ...columns,
    `<path class="axis" fill="none" d="M${LEFT} ${top}V${top + PANEL}H${LEFT + PLOT}"/>`,
    ...lines,
  ];
}

function finiteValues({ series }: Panel): number[] {
  return series.flatMap(({ points }) => points.map(([, y]) => y).filter(Number.isFinite));
}

/** The stretches of points between those without a value. */
function runs(points: Series["points"]): (readonly [number, number])[][] {
  const found: (readonly [number, number])[][] = [[]];
  for (const point of points) {
    if (Number.isFinite(point[1])) found.at(-1)?.push(point);
    else found.push([]);
  }
  return found.filter((run) => run.length > 0);
}

/** Round numbers from low to high, about five of them. */
function ticks(low: number, high: number): number[] {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 2.5, 5, 10].find((each) => each * power >= rough * 0.8) ?? 10);
  const first = Math.ceil(low / step - 1e-9);
  const last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

function logTicks(low: number, high: number): number[] {
  if (high / low < 5) return ticks(low, high);
  const within: number[] = [];
  const steps = high / low > 100 ? [1] : [1, 2, 5];
  for (let power = 10 ** Math.floor(Math.log10(low)); power <= high; power *= 10) {
    within.push(...steps.map((s) => s * power).filter((t) => t >= low && t <= high));
  }
  return within;
}

function number(value: number): string {
  return value.toLocaleString("en-US", { maximumSignificantDigits: 4 });
}

function at(value: number): string {
  return value.toFixed(1);
}

function escape(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
