// Firmware versions side by side, so that a worse one shows; and what was set aside.

import {fill, h} from "./dom.js";
import {at, count, NONE, percent, plural} from "./format.js";
import {told} from "./overview.js";
import {nowMs} from "./poll.js";
import {chip, colour, learn} from "./release.js";

/** Show the versions, newest first. */
export function showVersions(body) {
  told("versions", body.sources);
  const place = document.getElementById("versions");
  const list = body.versions ?? [];
  learn(list.map((row) => [row.release, row.counter]));
  if (!list.length) {
    fill(place, h("p", {class: "empty"}, "No version has been heard yet."));
    return;
  }
  const fleet = list.reduce((sum, row) => sum + row.devices, 0) || null;
  fill(place,
    fleet && h("div", {class: "share", role: "img", "aria-label": list.map((row) => `${row.release}: ${plural(row.devices, "device")}`).join(", ")},
      ...list.filter((row) => row.devices).map((row) =>
        h("i", {class: `r${colour(row.release)}`, style: {"flex-grow": row.devices}, title: `${row.release}: ${plural(row.devices, "device")} (${percent(row.devices / fleet)})`}))),
    h("div", {class: "scroll"}, h("table", {class: "versions"},
      h("thead", {}, h("tr", {}, ...["Release", "Devices", "Online", "Drops", "Fell back", "Crashes"].map((label, index) =>
        h("th", {scope: "col", class: index ? "number" : "", title: HELP[label]}, label)))),
      h("tbody", {}, ...list.map(line)))));
}

const HELP = {
  Devices: "That run it now", Online: "Share of the watched time of the last 24 hours with a connection",
  Drops: "Connections lost in the last 24 hours, updates not counted; below: for each device and day online or off",
  "Fell back": "Devices that came back from it to the release before, or were lost with it",
  Crashes: "App crashes and task restarts that devices reported at check-ins",
};

function line(row) {
  const known = row.watched_days !== undefined;
  const perDay = row.drops_per_device_day;
  return h("tr", {},
    h("th", {scope: "row"}, chip(row.release)),
    h("td", {class: "number"}, count(row.devices)),
    h("td", {class: "number"}, known ? percent(row.online_share) : NONE),
    h("td", {class: `number ${row.drops ? "" : "zero"}`.trim(), title: known && perDay !== null ? `${perDay.toFixed(1)} for each device and day` : null},
      known ? count(row.drops) : NONE),
    h("td", {class: `number ${row.fallen ? "bad" : "zero"}`}, count(row.fallen)),
    h("td", {class: `number ${row.reported?.crashes ? "bad" : "zero"}`}, row.reported ? count(row.reported.crashes) : NONE));
}

/** Show what could not be stored; the panel is there only when there is something. */
export function showQuarantine(body) {
  const list = body.quarantine ?? [];
  document.getElementById("quarantine-panel").hidden = !list.length;
  fill(document.getElementById("quarantine"), h("ul", {class: "aside"}, ...list.slice(0, 8).map((row) =>
    h("li", {}, h("b", {}, row.reason), ` ${row.device || row.topic}`,
      h("span", {class: "sub"}, `${plural(row.times, "time")}, ${plural(row.size, "byte")}, last ${at(row.last_ms, nowMs())}`)))));
}
