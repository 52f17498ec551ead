// The little plots of the device table: the last two minutes of one channel, drawn as one SVG path each.

import {svg} from "./dom.js";

const WIDTH = 132, HEIGHT = 26, PAD = 2;
const WINDOW_MS = 120_000;   // as host/console/telemetry.py, SPARK_MS
const GAP_MS = 6_000;        // a longer silence breaks the line

/** A plot of points that ends now. */
export function spark(points, nowMs) {
  const picture = svg("svg", {class: "spark", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true"});
  const {t, v} = points ?? {t: [], v: []};
  if (t.length < 2) return picture;
  let low = Math.min(...v), high = Math.max(...v);
  if (high - low < 1e-9) [low, high] = [low - 1, high + 1];
  const x = (ms) => Math.max(0, (1 - (nowMs - ms) / WINDOW_MS) * WIDTH);
  const y = (value) => HEIGHT - PAD - (value - low) / (high - low) * (HEIGHT - 2 * PAD);
  let line = "", last = -Infinity, start = 0, area = "";
  t.forEach((ms, index) => {
    const [px, py] = [x(ms).toFixed(1), y(v[index]).toFixed(1)];
    if (ms - last > GAP_MS) {
      if (line) area += `L${x(last).toFixed(1)},${HEIGHT}L${start},${HEIGHT}Z`;
      line += `M${px},${py}`;
      area += `M${px},${py}`;
      start = px;
    } else {
      line += `L${px},${py}`;
      area += `L${px},${py}`;
    }
    last = ms;
  });
  area += `L${x(last).toFixed(1)},${HEIGHT}L${start},${HEIGHT}Z`;
  picture.append(svg("path", {class: "area", d: area}), svg("path", {class: "line", d: line}));
  return picture;
}
