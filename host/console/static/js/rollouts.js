// Rollouts: 1 → 5 → 10 → 100 %, how far each stage is, what its gate says, and why a rollout halted.

import {fill, h, say} from "./dom.js";
import {at, count, countdown, NONE, plural} from "./format.js";
import {told} from "./overview.js";
import {nowMs} from "./poll.js";
import {chip, learn} from "./release.js";

const WORDS = {draft: "draft", planned: "planned", running: "rolling out", paused: "paused", halted: "halted", done: "complete", aborted: "aborted"};
const CALLS = {paused: "Paused: ", halted: "Halted: ", aborted: "Aborted: "};
const MARKS = {running: "info", paused: "warn", halted: "bad", done: "good", aborted: "none", draft: "none", planned: "info"};
const SIGNS = {pass: "✓", fail: "✕", unknown: "?"};
const VERDICTS = {pass: "good", fail: "bad", unknown: "none"};
const GATES = {pass: "passes", fail: "fails", unknown: "not decided yet"};

/** Show all rollouts, those under way first. */
export function showRollouts(body) {
  told("rollouts", body.sources);
  const place = document.getElementById("rollouts");
  const list = body.rollouts;
  if (!list) {
    const none = body.sources.ota.code === "ota.none";
    fill(place, h("p", {class: "empty"}, none ? "No OTA server is configured: this console shows readings only."
      : "The OTA server has not been reached yet."));
    return;
  }
  learn(list.map((each) => [each.release, each.counter]));
  place.classList.toggle("stale", !body.sources.ota.ok);
  fill(place, ...(list.length ? list.map(card) : [h("p", {class: "empty"},
    "No rollout yet. Publish a signed release and start one; its stages appear here.")]));
  tick();
}

/** Once a second: the countdowns. */
export function tick() {
  const now = nowMs();
  if (document.getElementById("rollouts").classList.contains("stale")) return;   // what is not known is not counted down
  for (const element of document.querySelectorAll("[data-ends]")) {
    const left = Number(element.dataset.ends) - now;
    say(element, left > 0 ? `soak ${countdown(left)} left` : "soaked");
  }
  for (const bar of document.querySelectorAll("[data-soak]")) {
    const share = 1 - (Number(bar.dataset.until) - now) / Number(bar.dataset.soak);
    bar.style.setProperty("--share", Math.max(0, Math.min(1, share)).toFixed(3));
  }
}

function card(rollout) {
  const current = rollout.stages[rollout.stage] ?? null;
  const quiet = rollout.state === "done" || rollout.state === "aborted" ? "quiet" : "";
  return h("article", {class: `rollout ${quiet} ${MARKS[rollout.state]}`.trim(), "aria-label": `Rollout of ${rollout.release}`},
    h("header", {},
      h("h3", {}, chip(rollout.release, "big"), h("span", {class: "sub"}, rollout.models.join(", "))),
      h("span", {class: `state ${MARKS[rollout.state]}`}, WORDS[rollout.state] ?? rollout.state),
      h("span", {class: "sub right"}, began(rollout))),
    h("ol", {class: "track"}, ...rollout.stages.map((stage, index) => segment(rollout, stage, index))),
    rollout.state === "halted" || rollout.state === "paused" || rollout.state === "aborted"
      ? h("p", {class: `callout ${MARKS[rollout.state]}`}, h("strong", {}, CALLS[rollout.state]), rollout.reason || NONE) : null,
    rollout.approval ? approval(rollout) : null,
    current && rollout.state !== "draft" ? gateLine(rollout, current) : null,
    rollout.fallen.length ? fallen(rollout.fallen) : null);
}

function began(rollout) {
  if (rollout.state === "planned" && rollout.starts_ms) return `starts ${at(rollout.starts_ms, nowMs())}`;
  return `${rollout.state === "draft" || rollout.state === "planned" ? "added" : "started"} ${at(rollout.added_ms, nowMs())}`;
}

/** The console cannot command: it says who may, and how. */
function approval(rollout) {
  const {event, by, at_ms, reason} = rollout.approval;
  return h("p", {class: "callout info"}, h("strong", {}, "Waits for a second person: "),
    `${by} asked to ${event} it, ${at(at_ms, nowMs())}${reason ? ` (${reason})` : ""}. An approver runs `,
    h("code", {}, `tenfold rollout approve ${rollout.id}`), ".");
}

function segment(rollout, stage, index) {
  const here = stage.state === "current";
  const need = stage.eligible ?? 0;
  const confirmed = stage.confirmed ?? 0;
  const share = stage.state === "done" ? 1 : need ? Math.min(1, confirmed / need) : 0;
  const soaked = stage.state === "done" ? 1 : need ? Math.min(1, (stage.soaked ?? 0) / need) : 0;
  const bad = (stage.failed ?? 0) + (stage.lost ?? 0);
  const mark = stage.state === "done" ? "done" : here ? (rollout.state === "halted" ? "halted" : "here") : "waiting";
  return h("li", {class: `segment ${mark}`, "aria-current": here ? "step" : null},
    h("div", {class: "segment-head"},
      h("b", {}, `${stage.pct} %`),
      h("span", {}, stageWord(rollout, stage, index))),
    h("div", {class: "bar", style: {"--confirmed": share.toFixed(3), "--soaked": soaked.toFixed(3)}}, h("i"), h("em")),
    h("div", {class: "segment-foot"},
      h("span", {}, stage.state === "waiting" ? plural(stage.eligible ?? 0, "device")
        : `${count(confirmed)} of ${count(need)} confirmed`),
      bad ? h("span", {class: "bad"}, `${count(bad)} failed`) : null,
      here && stage.under_way ? h("span", {}, `${count(stage.under_way)} under way`) : null));
}

function stageWord(rollout, stage, index) {
  if (stage.state === "done") return "✓ passed";
  if (stage.state === "waiting") return "";
  if (rollout.state !== "running") return WORDS[rollout.state] ?? "";
  if (stage.soak_ends_ms) {
    return h("span", {class: "soak"},
      h("i", {class: "ring", "data-soak": Math.max(1, stage.soak_s * 1000), "data-until": stage.soak_ends_ms, "aria-hidden": "true"}),
      h("span", {"data-ends": stage.soak_ends_ms}, "soaking"));
  }
  return index === 0 && !stage.offered ? "waiting for its first device" : "installing";
}

function gateLine(rollout, stage) {
  const gate = stage.gate;
  if (!gate) return null;
  const over = rollout.state === "done" ? "passed" : GATES[gate.verdict] ?? gate.verdict;
  return h("div", {class: "gate"},
    h("span", {class: `verdict ${VERDICTS[gate.verdict] ?? "none"}`}, `Gate ${over}`),
    h("ul", {class: "checks"}, ...gate.checks.map((check) =>
      h("li", {class: VERDICTS[check.verdict] ?? "none", title: check.reason}, h("span", {"aria-hidden": "true"}, SIGNS[check.verdict] ?? "?"),
        ` ${check.name}`, h("span", {class: "hidden"}, ` ${check.verdict}: ${check.reason}`)))),
    rollout.state === "running" ? h("span", {class: "why"}, gate.reason) : null);
}

function fallen(list) {
  const shown = list.slice(0, 3);
  return h("ul", {class: "fallen"},
    ...shown.map((each) => h("li", {}, h("a", {href: `#${each.device}`}, each.device), ` ${each.state}: ${each.reason || "no reason told"}`)),
    list.length > shown.length ? h("li", {}, `and ${count(list.length - shown.length)} more`) : null);
}
