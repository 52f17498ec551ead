// The table of devices: link, release, freshness, losses and a little plot each. Rows stay in place while they change.

import {fill, h, say} from "./dom.js";
import {ago, at, count, plural, reading, unit} from "./format.js";
import {sourceState, told} from "./overview.js";
import {nowMs} from "./poll.js";
import {chip, learn} from "./release.js";
import {spark} from "./spark.js";

const SHOWN = 200;           // rows in the page; a larger fleet is searched
const STALE_MS = 30_000;     // no reading for so long is worth a colour
const SPARKS = 100;          // as host/console/api.py, SPARKS_MAX

const COLUMNS = [
  {key: "device", label: "Device", of: (row) => row.device},
  {key: "release", label: "Release", of: (row) => row.release},
  {key: "last", label: "Last reading", of: (row) => -row.last_ms, number: true},
  {key: "plot", label: "", of: null},
  {key: "drops", label: "Drops", of: (row) => -row.drops, number: true, help: "Connections lost in the last 24 hours, updates not counted"},
  {key: "readings", label: "Readings", of: (row) => -row.readings, number: true, help: "Stored, over the device's life"},
  {key: "lost", label: "Lost", of: (row) => -row.lost_by_overflow, number: true, help: "Records that the device dropped because its ring was full"},
];

let rows = null, sort = "device", wanted = "", sparks = {};
const shownRows = new Map();   // device -> {element, parts}
let body = null;

/** Take a new list of devices. */
export function showDevices(answer) {
  told("devices", answer.sources);
  rows = answer.devices;
  learn((rows ?? []).map((row) => [row.release, row.counter]));
  draw();
}

/** Take new little plots. */
export function showSparks(answer) {
  sparks = answer.sparks;
  for (const [device, {parts}] of shownRows) drawSpark(parts.plot, device);
  const heading = document.getElementById("plot-heading");
  const one = Object.values(sparks)[0];
  if (heading && one) say(heading, `${one.channel}, 2 min`);
}

/** Ids of the rows whose plots are wanted now. */
export function wantedSparks() {
  return [...shownRows.keys()].slice(0, SPARKS);
}

/** Narrow the table to rows that hold a text. */
export function find(text) {
  wanted = text.trim().toLowerCase();
  draw();
}

/** Once a second: ages. */
export function tick() {
  const now = nowMs();
  for (const [device, {parts}] of shownRows) {
    const row = parts.row;
    const stale = row.last_ms && now - row.last_ms > STALE_MS;
    say(parts.last, ago(row.last_ms, now));
    parts.last.className = `number c-last ${stale ? "warn" : ""}`.trim();
    const link = parts.link;
    link.title = row.online === null ? `${device} was never heard on line`
      : `${row.online ? "online" : "offline"} since ${at(row.since_ms, now)} (${ago(row.since_ms, now)})`;
  }
}

function draw() {
  const place = document.getElementById("device-table");
  if (!rows || !rows.length) {
    body = null;
    shownRows.clear();
    const state = sourceState("telemetry");
    fill(place, h("p", {class: "empty"}, rows ? "No device has been heard yet. A device appears with its first message."
      : state.ok ? "Asking the telemetry database" : `No devices to show: ${state.message}.`));
    return;
  }
  if (!body) place.replaceChildren(table());
  const matching = rows.filter((row) => !wanted || words(row).includes(wanted)).sort(order);
  const list = matching.slice(0, SHOWN);
  const keep = new Set(list.map((row) => row.device));
  for (const [device, {element}] of shownRows) if (!keep.has(device)) { element.remove(); shownRows.delete(device); }
  list.forEach((row, index) => {
    let shown = shownRows.get(row.device);
    if (!shown) shownRows.set(row.device, shown = make(row));
    if (body.children[index] !== shown.element) body.insertBefore(shown.element, body.children[index] ?? null);
    update(shown, row);
  });
  const more = document.getElementById("device-more");
  say(more, matching.length ? (matching.length > list.length ? `${count(list.length)} of ${plural(matching.length, "device")}; find narrows them` : "")
    : `no device matches “${wanted}”`);
  for (const column of COLUMNS) {
    const head = document.getElementById(`sort-${column.key}`);
    if (head) head.parentElement.setAttribute("aria-sort", sort === column.key ? "ascending" : "none");
  }
  tick();
}

function table() {
  shownRows.clear();
  body = h("tbody");
  return h("div", {class: "scroll"}, h("table", {class: "devices"},
    h("thead", {}, h("tr", {}, ...COLUMNS.map((column) => h("th", {scope: "col", class: `${column.number ? "number" : ""} c-${column.key}`.trim(), title: column.help},
      column.of ? h("button", {id: `sort-${column.key}`, onclick: () => { sort = column.key; draw(); }}, column.label)
        : h("span", {id: "plot-heading"}, column.label))))),
    body), h("p", {class: "empty", id: "device-more"}));
}

function make(row) {
  const parts = {
    row, link: h("span", {class: "dot"}), spoken: h("span", {class: "hidden"}), name: h("a", {href: `#${row.device}`}, row.device),
    release: h("td", {class: "c-release"}), last: h("td"), plot: h("td", {class: "c-plot"}), drops: h("td", {class: "number c-drops"}),
    readings: h("td", {class: "number c-readings"}), lost: h("td", {class: "number c-lost"}),
  };
  const element = h("tr", {onclick: (event) => { if (!event.target.closest("a")) parts.name.click(); }},
    h("th", {scope: "row"}, parts.link, parts.spoken, parts.name), parts.release, parts.last, parts.plot, parts.drops, parts.readings, parts.lost);
  return {element, parts};
}

function update({element, parts}, row) {
  parts.row = row;
  const state = row.online === null ? "unknown" : row.online ? "online" : "offline";
  parts.link.className = `dot ${{online: "good", offline: "bad", unknown: ""}[state]}`.trim();
  say(parts.spoken, `${state} `);
  element.classList.toggle("off", row.online === false);
  fill(parts.release, chip(row.release), badge(row));
  say(parts.drops, count(row.drops));
  parts.drops.classList.toggle("zero", !row.drops);
  say(parts.readings, count(row.readings));
  say(parts.lost, count(row.lost_by_overflow));
  parts.lost.classList.toggle("zero", !row.lost_by_overflow);
  parts.lost.classList.toggle("warn", row.lost_by_overflow > 0);
  drawSpark(parts.plot, row.device);
}

/** What is going on with a device, in a word. */
function badge(row) {
  const update = row.update;
  if (row.schema_missing) return h("span", {class: "badge warn", title: "its newest batch waits for its schema"}, "no schema");
  if (update?.trial) return h("span", {class: "badge info", title: "runs a release it has not confirmed yet"}, "trial");
  if (update?.attempt === "failed") return h("span", {class: "badge bad", title: update.attempt_reason}, "came back");
  if (update?.attempt === "lost") return h("span", {class: "badge bad", title: update.attempt_reason}, "lost");
  if (update?.attempt === "offered") return h("span", {class: "badge info", title: "is offered a release"}, "updating");
  if (update?.config.trial) return h("span", {class: "badge info", title: "tries a configuration it has not kept yet"}, "config trial");
  if (update?.config.failed && update.config.failed === update.config.wanted) return h("span", {class: "badge warn", title: update.config.reason}, "config given up");
  if (row.conflicts) return h("span", {class: "badge warn", title: "sent other bytes under a name already stored"}, "conflict");
  return null;
}

function drawSpark(cell, device) {
  const one = sparks[device];
  if (!one) return;
  const value = one.v.at(-1);
  cell.replaceChildren(h("span", {class: "plot"}, spark(one, nowMs()),
    h("output", {}, value === undefined ? "" : `${reading(value, one.resolution)} ${unit(one.unit)}`)));
}

function words(row) {
  const state = row.online === null ? "unknown" : row.online ? "online" : "offline";
  return `${row.device} ${row.release} ${state} ${row.update?.attempt ?? ""}`.toLowerCase();
}

function order(left, right) {
  const of = COLUMNS.find((column) => column.key === sort).of;
  const [a, b] = [of(left), of(right)];
  return (a < b ? -1 : a > b ? 1 : 0) || (left.device < right.device ? -1 : 1);
}
