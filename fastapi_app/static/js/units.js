/**
 * How plots write numbers and times: the same steps as fastapi_app/formatting.py. Times are in the
 * person's zone, days in UTC.
 */

const UNKNOWN = "–";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
const LANGUAGE = "en-GB";

/** As Python rounds: a tie goes to the even digit. */
function fixed(value, digits) {
  const scale = 10 ** digits;
  const low = Math.floor(value * scale);
  const isTie = value * scale - low === 0.5 && Number.isInteger(value * 2 ** (digits + 1));
  return isTie ? ((low % 2 ? low + 1 : low) / scale).toFixed(digits) : value.toFixed(digits);
}

function size(value) {
  if (value === null) return UNKNOWN;
  let amount = value;
  for (const unit of UNITS) {
    const text = fixed(amount, unit === "B" ? 0 : 1);
    if (Number(text) < 1024 || unit === UNITS.at(-1)) return `${text} ${unit}`;
    amount /= 1024;
  }
}

function two(value) {
  return String(value).padStart(2, "0");
}

function duration(seconds) {
  if (seconds === null) return UNKNOWN;
  if (seconds < 10) return `${fixed(seconds, 1)} s`;
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${two(whole % 60)} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${two(Math.floor((whole % 3600) / 60))} min`;
  return `${Math.floor(whole / 86400)} d ${two(Math.floor((whole % 86400) / 3600))} h`;
}

function count(value) {
  return value === null ? UNKNOWN : value.toLocaleString("en-US");
}

/** On an axis nothing stands behind the point or after the first unit that is not needed. */
function short(text) {
  return text.replace(/\.0(?= )/, "").replace(/ 00 (s|min|h)$/, "").replace(/^0 .*/, "0");
}

const BINARY = [0, 1, 2, 3, 4, 5].flatMap((power) =>
  [1, 2, 4, 8, 16, 32, 64, 128, 256, 512].map((step) => step * 1024 ** power),
);
const SECONDS = [
  0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 10800, 21600, 43200,
  ...[1, 2, 5, 10, 20, 50, 100, 200, 500].map((days) => days * 86400),
];
const WHOLE = [0, 1, 2, 3, 4, 5, 6, 7].flatMap((power) => [1, 2, 5].map((step) => step * 10 ** power));

/** By unit: how a value is written, beside an axis too, and how far the lines of a grid may be apart. */
export const units = {
  bytes: { write: size, steps: BINARY },
  rate: { write: (value) => (value === null ? UNKNOWN : `${size(value)}/s`), steps: BINARY },
  duration: { write: duration, steps: SECONDS },
  count: { write: count, steps: WHOLE },
};

export function onAxis(unit, value) {
  return short(units[unit].write(value));
}

const formats = new Map();

function format(name, options) {
  if (!formats.has(name)) formats.set(name, new Intl.DateTimeFormat(LANGUAGE, options));
  return formats.get(name);
}

/** A moment in the person's zone, in full. */
export function moment(seconds) {
  const options = { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" };
  return format("moment", options).format(seconds * 1000);
}

/** A moment beside an axis that spans so many seconds. */
export function tick(seconds, span) {
  const options =
    span < 86400
      ? { hour: "2-digit", minute: "2-digit", ...(span < 600 ? { second: "2-digit" } : {}) }
      : span < 300 * 86400
        ? { day: "numeric", month: "short" }
        : { month: "short", year: "numeric" };
  return format(Object.keys(options).join(), options).format(seconds * 1000);
}

/** A day, which begins and ends in UTC. */
export function day(seconds) {
  return format("day", { day: "numeric", month: "short", timeZone: "UTC" }).format(seconds * 1000);
}
