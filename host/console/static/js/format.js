// Numbers, times and words as people read them.

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const clock = new Intl.DateTimeFormat("en-GB", {hour: "2-digit", minute: "2-digit", second: "2-digit"});
const dayAndClock = new Intl.DateTimeFormat("en-GB", {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"});
const DAY_MS = 86_400_000;

export const NONE = "–";

/** 1,234,567; an en dash for what is not known. */
export function count(value) {
  return value === null || value === undefined ? NONE : whole.format(value);
}

/** A number with so many digits after the point; whole ones without. */
export function fixed(value, digits) {
  return value === null || value === undefined ? NONE : value.toFixed(digits);
}

/** A rate: two digits that matter, no needless ones. */
export function rate(value) {
  if (value === null || value === undefined) return NONE;
  if (value >= 100 || value === 0) return whole.format(value);
  return value >= 10 ? value.toFixed(1) : value.toFixed(2);
}

/** 0..1 as per cent; 100 % only when it is. */
export function percent(share) {
  if (share === null || share === undefined) return NONE;
  const value = share * 100;
  return value > 99.9 && value < 100 ? "99.9 %" : `${value.toFixed(value < 99.95 && value > 0 ? 1 : 0)} %`;
}

/** A length of time: 4 s, 3 min, 2.5 h, 6 d. */
export function span(ms) {
  const s = Math.max(0, ms) / 1000;
  if (s < 1) return "now";
  if (s < 90) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 2 * 86_400) return `${(s / 3600).toFixed(1)} h`;
  return `${Math.round(s / 86_400)} d`;
}

/** How long ago; "–" for never. */
export function ago(atMs, nowMs) {
  return atMs ? span(nowMs - atMs) : NONE;
}

/** A countdown: 0:07, 12:30, 47:59:58. */
export function countdown(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(s / 60);
  return minutes < 60 ? `${minutes}:${two(s % 60)}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(s % 60)}`;
}

/** A time of day; with the day when that is not today. */
export function at(ms, nowMs = Date.now()) {
  return (Math.abs(nowMs - ms) < DAY_MS ? clock : dayAndClock).format(ms);
}

/** A reading with the digits of its resolution: 21.40 at 0.01. */
export function reading(value, resolution) {
  if (value === null || value === undefined) return NONE;
  const digits = (String(resolution).split(".")[1] || "").length;
  return resolution ? value.toFixed(digits) : String(Number(value.toPrecision(6)));
}

/** Units as the wire spells them to how they are written. */
export function unit(text) {
  return {degC: "°C", degF: "°F", Cel: "°C", "m/s2": "m/s²", ohm: "Ω"}[text] ?? text;
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
