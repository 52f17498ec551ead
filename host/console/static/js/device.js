// One device: what it is, why it runs what it runs, and its channels over time. The address is #<device id>.

import {fill, h, say} from "./dom.js";
import {ago, at, count, NONE, plural, reading, span, unit} from "./format.js";
import {plot} from "./plot.js";
import {nowMs, poll} from "./poll.js";
import {chip} from "./release.js";

const RANGES = [["2 min", 120_000], ["15 min", 900_000], ["1 h", 3_600_000], ["6 h", 21_600_000], ["24 h", 86_400_000]];
const PLOT_PX = 148;
const POINTS = 900;   // about one a pixel, and the extremes of each
const QUALITY = {good: "good", old: "stale", none: "no reading"};
const HINTS = {
  good: "of the newest sample", old: "newer samples have no value of this channel: its sensor says nothing",
  none: "no value for a while: its sensor says nothing",
};

let open = null;   // {device, pollers, charts, rangeMs}

/** Follow the address: open, change or close the view. */
export function route() {
  const device = decodeURIComponent(location.hash.slice(1));
  const isDevice = /^[a-z0-9]{1,16}-[0-9a-f]{12}$/.test(device);
  if (open?.device === device) return;
  close();
  if (isDevice) show(device);
}

/** Set up once: closing by Escape, button or a click beside it leads back to the fleet; a change of theme redraws. */
export function setUp() {
  const dialog = document.getElementById("device");
  dialog.addEventListener("close", () => { if (open) history.pushState(null, "", location.pathname); close(); });
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    if (open) { open.charts.forEach((each) => each.chart.destroy()); open.charts.clear(); open.channels.replaceChildren(); open.series.again(); }
  });
  addEventListener("hashchange", route);
  addEventListener("popstate", route);
}

/** Once a second: ages. */
export function tick() {
  if (!open?.row) return;
  const now = nowMs();
  say(open.parts.link, linkWords(open.row, now));
  say(open.parts.last, open.row.last_ms ? `${ago(open.row.last_ms, now)} ago` : NONE);
}

function show(device) {
  const dialog = document.getElementById("device");
  const parts = {link: h("span"), last: h("dd"), facts: h("dl", {class: "facts"}), why: h("p", {class: "why"}), chips: h("span", {class: "chips"})};
  const channels = h("div", {class: "channels"});
  const buttons = RANGES.map(([label, ms]) => h("button", {"aria-pressed": "false", onclick: () => choose(ms)}, label));
  dialog.replaceChildren(
    h("header", {},
      h("div", {}, h("h2", {id: "device-title"}, device), parts.chips),
      h("button", {class: "close", "aria-label": "Close", title: "Close (Esc)", onclick: () => dialog.close()}, "✕")),
    parts.facts, parts.why,
    h("div", {class: "ranges", role: "group", "aria-label": "Time shown"}, ...buttons),
    channels);
  open = {device, parts, channels, buttons, charts: new Map(), rangeMs: RANGES[0][1], pollers: [], row: null, series: null};
  open.pollers.push(poll(() => `api/devices/${device}`, 1000, facts, refused));
  open.series = poll(seriesPath, 1000, drawSeries, refused);
  open.pollers.push(open.series);
  press();
  if (!dialog.open) dialog.showModal();
}

function close() {
  if (!open) return;
  const was = open;
  open = null;
  was.pollers.forEach((each) => each.stop());
  was.charts.forEach((each) => each.chart.destroy());
  const dialog = document.getElementById("device");
  if (dialog.open) dialog.close();
}

function choose(ms) {
  open.rangeMs = ms;
  press();
  open.series.again();
}

function press() {
  open.buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(RANGES[index][1] === open.rangeMs)));
}

/** Windows move in steps of 1/600, so that a long one is not read anew each second. */
function seriesPath() {
  const step = Math.max(1000, open.rangeMs / 600);
  const to = Math.ceil(nowMs() / step) * step;
  open.window = [to - open.rangeMs, to];
  return `api/devices/${open.device}/series?from_ms=${to - open.rangeMs}&to_ms=${to}&points=${POINTS}`;
}

function facts(row) {
  if (!open) return;
  open.row = row;
  const {parts} = open;
  fill(parts.chips, h("span", {class: `dot ${row.online ? "good" : row.online === false ? "bad" : ""}`.trim()}), parts.link, chip(row.release));
  const metrics = row.update?.metrics ?? {};
  const list = [
    ["Last reading", parts.last], ["Readings", `${count(row.readings)} in ${plural(row.batches, "batch", "batches")}`],
    ["Bytes per reading", row.readings ? (row.bytes / row.readings).toFixed(2) : NONE], ["Drops, 24 h", count(row.drops)],
    ["Repeats recognised", count(row.duplicates)], ["Lost, ring full", count(row.lost_by_overflow)],
    ["Boot", count(row.boot)], ["Up", metrics.uptime_s === undefined ? NONE : span(metrics.uptime_s * 1000)],
    ["Free heap", metrics.heap_free === undefined ? NONE : `${count(Math.round(metrics.heap_free / 1024))} KiB`],
    ["Slot", row.update?.slot ?? NONE],
  ];
  for (const [label, wordy] of [["Conflicts", row.conflicts], ["Waiting for a clock", row.unplaced]]) if (wordy) list.push([label, count(wordy)]);
  fill(parts.facts, ...list.map(([label, value]) => h("div", {}, h("dt", {}, label), value instanceof Node ? value : h("dd", {}, value))));
  fill(parts.why, row.update ? h("span", {}, h("b", {}, "Update: "), row.update.why || NONE,
    row.update.attempt_reason ? ` (${row.update.attempt}: ${row.update.attempt_reason})` : "",
    h("br"), h("b", {}, "Configuration: "), configWords(row.update.config)) : "");
  for (const one of row.latest) latest(one);
  tick();
}

function latest(one) {
  const known = open.charts.get(one.channel);
  if (!known) return;
  known.latest = one;
  if (!known.hovering) value(known, one.value, one.quality, one.t_ms);
}

function value(known, number, quality, ms) {
  say(known.value, reading(number, known.resolution));
  say(known.quality, known.hovering ? at(ms) : QUALITY[quality] ?? quality);
  known.quality.className = `badge ${known.hovering ? "none" : {good: "good", old: "warn"}[quality] ?? "bad"}`;
  known.quality.title = known.hovering ? "" : HINTS[quality] ?? "";
}

function drawSeries(body) {
  if (!open) return;
  if (!body.channels.length) {
    fill(open.channels, h("p", {class: "empty"}, "No readings that can be shown yet: a device's first batch brings its channels."));
    return;
  }
  for (const channel of body.channels) {
    const known = open.charts.get(channel.name) ?? add(channel);
    known.chart.show(body.from_ms, body.to_ms, channel.t, channel.v);
    const extent = channel.v.length ? `${reading(Math.min(...channel.v), channel.resolution)} to ${reading(Math.max(...channel.v), channel.resolution)}` : "nothing in this window";
    say(known.extent, extent);
  }
}

function add(channel) {
  if (!open.charts.size) open.channels.replaceChildren();
  const known = {
    value: h("output"), quality: h("span", {class: "badge"}), extent: h("span", {class: "sub right"}), resolution: channel.resolution,
    hovering: false, latest: null,
  };
  const place = h("div", {class: "plot-area"});
  open.channels.append(h("section", {class: "channel", "aria-label": channel.name},
    h("header", {}, h("h3", {}, channel.name), h("span", {class: "value"}, known.value, ` ${unit(channel.unit)}`), known.quality, known.extent), place));
  known.chart = plot(place, PLOT_PX, "device");
  known.chart.hover((point) => {
    known.hovering = point !== null;
    if (point) value(known, point[1], "", point[0]);
    else if (known.latest) latest(known.latest);
  });
  open.charts.set(channel.name, known);
  const newest = open.row?.latest.find((one) => one.channel === channel.name);
  if (newest) latest(newest);
  return known;
}

function refused(error) {
  if (!open || open.charts.size) return;
  fill(open.channels, h("p", {class: "empty"}, error.status === 404 ? "This device was never heard." : `Not now: ${error.message}.`));
}

/** What a device measures by, what it is meant to, and what it gave up. */
function configWords({runs, trial, wanted, failed, reason}) {
  const words = [`${runs || "the line’s"}${trial ? ", on trial" : ""}`];
  if (failed && failed === wanted) words.push(`gave up ${failed}: ${reason || "no reason told"}`);
  else if (wanted !== runs) words.push(`${wanted || "the line’s"} goes out with its next check-in`);
  return words.join("; ");
}

function linkWords(row, now) {
  if (row.online === null) return "never heard on line";
  return `${row.online ? "online" : "offline"} for ${span(now - row.since_ms)}`;
}
