/**
 * Draws the plots of a page: every [data-plot] holds its figures, and is drawn anew when a morph
 * brings others, when its width changes and when its colours do: with the scheme, and on paper. Nothing moves by itself.
 */

/* global uPlot */

import { drawBars, drawRuns } from "./plot_marks.js";
import { day, moment, onAxis, tick, units } from "./units.js";

const TICK_PX = 76;
const GUTTER_PX = 68;
const HOURS_S = 3600; // What is written beside an axis of hours: the time of the day.
const plots = new Map();
const style = getComputedStyle(document.documentElement);

/** The value of a colour token as it is now: which one that is hangs on the scheme. */
export function colour(name) {
  return style.getPropertyValue(`--${name}`).trim();
}

/* What stands on the axes, and what is read beside the title. Places are numbers from 0. */

/** Bars that stand on one another, each at a time which is written in these ways. */
const bars = (label, write) => ({
  values: ({ parts }) => parts[0].map((_, place) => parts.reduce((sum, part) => sum + part[place], 0)),
  draw: drawBars,
  places: ({ parts }) => parts[0].length,
  label,
  read: ({ at, parts, keys, words, unit }, place) => {
    const shown = keys.map((key, index) => [words[key], parts[index][place]]).filter(([, part]) => part);
    const texts = shown.map(([word, part]) => `${units[unit].write(part)} ${word}`);
    return `${write(at[place])} · ${texts.join(", ") || "nothing"}`;
  },
});

const KINDS = {
  runs: {
    values: ({ values }) => values,
    draw: drawRuns,
    places: ({ values }) => values.length,
    label: ({ at }, place) => tick(at[place], at.at(-1) - at[0]),
    read: ({ at, keys, words, values, unit }, place) =>
      `${moment(at[place])} · ${words[keys[place]]} · ${units[unit].write(values[place])}`,
  },
  days: bars(({ at }, place) => day(at[place]), day),
  hours: bars(({ at }, place) => tick(at[place], HOURS_S), moment),
  course: {
    values: ({ rates }) => rates,
    read: ({ seconds, rates, unit }, place) =>
      `after ${units.duration.write(seconds[place])} · ${units[unit].write(rates[place])}`,
  },
};

function dataOf(spec) {
  const values = KINDS[spec.kind].values(spec);
  return [spec.seconds ?? values.map((_, place) => place), values];
}

/* Axes. */

function font() {
  return `11px ${style.getPropertyValue("--font")}`;
}

/** As wide as the longest of the texts, so that plots with the same unit stand in line. */
function gutter(plot, texts) {
  plot.ctx.save();
  plot.ctx.font = font();
  const widest = Math.max(0, ...(texts ?? []).map((text) => plot.ctx.measureText(text ?? "").width));
  plot.ctx.restore();
  return Math.max(GUTTER_PX, Math.ceil(widest) + 10);
}

/** As many whole places as there is room for, the last one among them. */
function splits(plot, places) {
  const room = Math.max(1, Math.floor(plot.bbox.width / devicePixelRatio / TICK_PX));
  const step = Math.max(1, Math.ceil(places / room));
  const found = [];
  for (let place = places - 1; place >= 0; place -= step) found.unshift(place);
  return found;
}

function axes(holder) {
  const common = { stroke: () => colour("ink-2"), font: font(), ticks: { show: false } };
  const grid = { stroke: () => colour("line"), width: 1 };
  const { kind, unit, has_times: hasTimes } = holder.spec;
  const { label, places } = KINDS[kind];
  const below = places
    ? {
        splits: (plot) => splits(plot, places(holder.spec)),
        values: (_, found) => {
          const texts = found.map((place) => label(holder.spec, place));
          return texts.map((text, index) => (text === texts[index - 1] ? "" : text));
        },
      }
    : {
        incrs: units.duration.steps,
        space: TICK_PX,
        values: (_, found) => found.map((value) => onAxis("duration", value)),
      };
  return [
    { ...common, ...below, grid: { show: false }, size: 20, gap: 4, show: hasTimes !== false },
    {
      ...common,
      grid,
      incrs: units[unit].steps,
      space: 26,
      gap: 6,
      size: gutter,
      values: (_, found) => found.map((value) => onAxis(unit, value)),
    },
  ];
}

function options(holder, area) {
  const { kind } = holder.spec;
  const { draw, places } = KINDS[kind];
  const paths = uPlot.paths.stepped({ align: -1 });
  const line = { paths, stroke: () => colour("accent"), fill: () => `${colour("accent")}22`, width: 1.5 };
  return {
    width: area.clientWidth,
    height: area.clientHeight,
    padding: [8, 20, holder.spec.has_times === false ? 4 : 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: {
        time: false,
        range: () => (places ? [-0.5, places(holder.spec) - 0.5] : [0, Math.max(1, holder.spec.seconds.at(-1) ?? 0)]),
      },
      y: { range: (_, from, to) => [0, to > 0 ? to * 1.05 : 1] },
    },
    axes: axes(holder),
    series: [{}, draw ? { paths: () => null, points: { show: false } } : { ...line, points: { show: false } }],
    hooks: {
      draw: draw ? [(plot) => draw(plot, holder.spec, colour)] : [],
      setCursor: [(plot) => read(holder, plot.cursor.idx)],
    },
  };
}

/** Write what the pointer is over beside the title, and what stood there when it has left. */
function read(holder, place) {
  const element = holder.readout;
  if (place === null || place === undefined) {
    if (holder.said === element.textContent) element.textContent = holder.summary;
    holder.said = null;
    return;
  }
  if (holder.said !== element.textContent) holder.summary = element.textContent;
  element.textContent = holder.said = KINDS[holder.spec.kind].read(holder.spec, place);
}

/* The plots of the page. */

const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    const plot = plots.get(target)?.plot;
    if (plot && target.clientWidth && plot.width !== target.clientWidth) {
      plot.setSize({ width: target.clientWidth, height: target.clientHeight });
    }
  }
});

/** Draw these figures in a [data-plot], in place of what it shows, with words beside its title. */
export function show(figure, spec, summary) {
  const area = figure.querySelector(".plot-area");
  const holder = plots.get(area) ?? { readout: figure.querySelector(".plot-readout") };
  holder.spec = spec;
  if (summary && holder.said === holder.readout.textContent) holder.summary = summary;
  else if (summary && holder.readout.textContent !== summary) holder.readout.textContent = summary;
  if (holder.plot) {
    holder.plot.setData(dataOf(spec));
    return;
  }
  holder.plot = new uPlot(options(holder, area), dataOf(spec), area);
  plots.set(area, holder);
  resized.observe(area);
}

function drawAll() {
  for (const [area, { plot }] of plots) {
    if (area.isConnected) continue;
    plot.destroy();
    resized.unobserve(area);
    plots.delete(area);
  }
  for (const figure of document.querySelectorAll("[data-plot]")) {
    const text = figure.dataset.plot;
    const drawn = plots.get(figure.querySelector(".plot-area"));
    if (drawn?.text === text) continue;
    show(figure, JSON.parse(text));
    plots.get(figure.querySelector(".plot-area")).text = text;
  }
}

document.addEventListener("htmx:after:swap", drawAll);
for (const query of ["(prefers-color-scheme: dark)", "print"]) {
  matchMedia(query).addEventListener("change", () => {
    for (const { plot } of plots.values()) plot.redraw(true, true);
  });
}

drawAll();
