// One colour a release, the same everywhere on the page. The text is always there too: colour is never the only sign.

import {h} from "./dom.js";

const COLOURS = 8;   // --r0 … --r7 in style.css
const known = new Map();

/** Learn releases with their counters, so that a release keeps its colour as others come and go. */
export function learn(pairs) {
  for (const [release, counter] of pairs) if (release && counter) known.set(release, counter);
}

/** A label in the release's colour. */
export function chip(release, extra = "") {
  if (!release) return h("span", {class: "chip none"}, "unknown");
  return h("span", {class: `chip r${colour(release)} ${extra}`.trim()}, release);
}

export function colour(release) {
  const counter = known.get(release) ?? [...release].reduce((sum, char) => sum * 31 + char.charCodeAt(0), 7);
  return Math.abs(counter - 1) % COLOURS;
}
