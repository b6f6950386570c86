/**
 * What is drawn into a plot beside its axes: a mark for each run, whose shape and colour tell the
 * outcome, and bars that stand on one another.
 */

const RADIUS = 3;

function circle(context, x, y, r) {
  context.arc(x, y, r, 0, 2 * Math.PI);
}

function polygon(...corners) {
  return (context, x, y, r) => {
    corners.forEach(([dx, dy], index) => context[index ? "lineTo" : "moveTo"](x + dx * r, y + dy * r));
    context.closePath();
  };
}

const diamond = polygon([0, -1.4], [1.4, 0], [0, 1.4], [-1.4, 0]);
const SHAPES = {
  completed: circle,
  warning: polygon([0, -1.4], [1.35, 1], [-1.35, 1]),
  failed: polygon([-1.1, -1.1], [1.1, -1.1], [1.1, 1.1], [-1.1, 1.1]),
  paused: diamond,
  interrupted: diamond,
};

/** A thin line through all runs, and on it one mark for each. */
export function drawRuns(plot, { values, keys }, colour) {
  const { ctx: context } = plot;
  const ratio = devicePixelRatio;
  const places = values.map((value, index) =>
    value === null ? null : [plot.valToPos(index, "x", true), plot.valToPos(value, "y", true)],
  );
  context.save();
  context.lineWidth = ratio;
  context.strokeStyle = `${colour("edge")}99`;
  context.beginPath();
  let isOpen = false;
  for (const place of places) {
    if (place) context[isOpen ? "lineTo" : "moveTo"](...place);
    isOpen = place !== null;
  }
  context.stroke();
  const radius = ratio * Math.min(RADIUS, Math.max(1.5, plot.bbox.width / ratio / values.length / 2.5));
  places.forEach((place, index) => {
    if (!place) return;
    context.fillStyle = colour(keys[index]);
    context.beginPath();
    (SHAPES[keys[index]] ?? circle)(context, ...place, radius);
    context.fill();
  });
  context.restore();
}

/** For each place one bar, made of a part for each key, in the order of the keys. */
export function drawBars(plot, { keys, parts }, colour) {
  const { ctx: context, bbox } = plot;
  const ratio = devicePixelRatio;
  const width = Math.max(1, Math.floor(bbox.width / parts[0].length) - 2 * ratio);
  const foot = bbox.top + bbox.height;
  context.save();
  parts[0].forEach((_, place) => {
    const left = Math.round(plot.valToPos(place, "x", true) - width / 2);
    let below = 0;
    keys.forEach((key, index) => {
      const part = parts[index][place];
      if (!part) return;
      const from = Math.round(plot.valToPos(below, "y", true));
      below += part;
      // What there is can be seen, however little it is beside the rest.
      const to = Math.min(Math.round(plot.valToPos(below, "y", true)), from - ratio);
      const bar = [left, to, width, Math.min(from, foot) - to];
      context.clearRect(...bar); // The lines of the grid do not shine through.
      // What went well stays in the background, as in the strips.
      context.globalAlpha = key === "completed" ? 0.55 : 1;
      context.fillStyle = colour(key);
      context.fillRect(...bar);
    });
  });
  context.restore();
}
