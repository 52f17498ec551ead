// The header: totals of the fleet, whether the page is alive, and what is out of reach.

import {fill, h, say, svg} from "./dom.js";
import {at, count, NONE, plural, rate} from "./format.js";
import {link, nowMs} from "./poll.js";

const HISTORY = 90;   // rates of the last minute and a half, collected while the page is open
const history = [];
const sources = new Map();   // panel -> {telemetry, ota}, as each answer told it

const TILES = [
  {key: "online", label: "Devices online", help: "Connected to the broker now, of all that were ever heard"},
  {key: "rate", label: "Readings per second", help: "Stored, mean of the last minute"},
  {key: "stored", label: "Readings stored", help: "Committed to the database since the fleet began; each once"},
  {key: "size", label: "Bytes per reading", help: "Size of the batches on the wire, headers included, without MQTT and TLS framing"},
  {key: "aside", label: "Set aside", help: "Messages that could not be stored under a name, and names that came with other bytes; kept and shown"},
];

/** Show the fleet's totals. */
export function showOverview(body) {
  told("overview", body.sources);
  const totals = body.totals;
  if (totals) {
    history.push(totals.readings_per_s);
    if (history.length > HISTORY) history.shift();
  }
  fill(document.getElementById("tiles"), ...TILES.map((tile) => {
    const [value, note, mark] = totals ? valueOf(tile.key, totals) : [NONE, null, ""];
    return h("div", {class: `tile ${mark}`.trim(), title: tile.help}, h("dt", {}, tile.label), h("dd", {}, h("strong", {}, value), note));
  }));
}

function valueOf(key, totals) {
  switch (key) {
    case "online": {
      const off = totals.devices - totals.online;
      const note = totals.devices ? (off ? `${count(off)} offline` : "all of them") : "none heard yet";
      return [`${count(totals.online)}`, h("span", {}, h("i", {}, `of ${count(totals.devices)}`), ` ${note}`), off ? "warn" : ""];
    }
    case "rate": return [rate(totals.readings_per_s), trend(), ""];
    case "stored": return [count(totals.readings_stored), h("span", {}, losses(totals)), totals.lost_by_overflow ? "warn" : ""];
    case "size": return [totals.bytes_per_reading === null ? NONE : totals.bytes_per_reading.toFixed(2),
      h("span", {}, `${plural(totals.batches, "batch", "batches")}`), ""];
    default: {
      const aside = totals.quarantined + totals.conflicts;
      return [count(aside), h("span", {}, aside ? `${count(totals.quarantined)} unreadable, ${plural(totals.conflicts, "conflict")}` : "nothing"),
        aside ? "warn" : ""];
    }
  }
}

function losses(totals) {
  if (totals.lost_by_overflow) return `${plural(totals.lost_by_overflow, "record")} lost by full rings`;
  return totals.duplicates ? `none twice, ${plural(totals.duplicates, "repeat")} recognised` : "none lost";
}

/** A line of the rates since the page was opened. */
function trend() {
  if (history.length < 3) return h("span", {}, "mean of a minute");
  const top = Math.max(...history, 1e-9) * 1.1;
  const points = history.map((value, index) => `${(index / (HISTORY - 1) * 100).toFixed(1)},${(22 - value / top * 20).toFixed(1)}`);
  return svg("svg", {class: "trend", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true"},
    svg("polyline", {points: points.join(" ")}));
}

/** Remember how an answer found its sources; banners tell what is out of reach. */
export function told(panel, found) {
  sources.set(panel, found || {});
  showBanners();
}

/** The state of a source as its newest answer told it. */
export function sourceState(name) {
  return [...sources.values()].map((each) => each[name]).find((each) => each && !each.ok) ?? {ok: true};
}

const NAMES = {telemetry: "Telemetry database", ota: "OTA server"};

function showBanners() {
  const banners = [];
  if (link.ok === false) banners.push(banner("bad", `Console unreachable since ${at(link.sinceMs)}`, "the last known is shown"));
  for (const name of Object.keys(NAMES)) {
    const state = sourceState(name);
    if (state.ok || state.code === "ota.none") continue;
    if (state.code === "telemetry.absent" || state.code === "telemetry.empty") {
      banners.push(banner("info", "No telemetry yet", state.message));
    } else {
      banners.push(banner("bad", `${NAMES[name]} unreachable since ${at(state.since_ms)}`, `${state.message}; its last words are shown`));
    }
  }
  fill(document.getElementById("banners"), ...banners);
}

function banner(kind, title, text) {
  return h("p", {class: `banner ${kind}`}, h("strong", {}, title), h("span", {}, text));
}

/** Once a second: is the page alive? */
export function beat() {
  const pulse = document.getElementById("pulse");
  const [mark, text] = link.ok === null ? ["", "connecting"] : link.ok ? ["good", at(nowMs())] : ["bad", "no connection"];
  pulse.firstElementChild.className = `dot ${mark}`.trim();
  say(pulse.lastElementChild, text);
  pulse.title = link.ok ? "Live; time of the server's clock" : "";
}

link.listeners.push(() => { showBanners(); beat(); });
