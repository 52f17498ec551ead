// One channel over time, drawn with uPlot in the page's colours.

import uPlot from "../vendor/uPlot.esm.js";

const GAP_FACTOR = 6;     // thinned series have uneven steps of up to four medians
const GAP_MIN_MS = 2_000;
const HALF_LABEL_PX = 28;
const clock = uPlot.fmtDate("{HH}:{mm}:{ss}");

/** A plot in `place`. Gives {show(fromMs, toMs, t, v), hover(listener), destroy()}; times in Unix ms. */
export function plot(place, height, group) {
  const style = getComputedStyle(place);
  const colour = (name) => style.getPropertyValue(name).trim();
  const axis = {
    stroke: colour("--muted"), font: `11px ${style.fontFamily}`, ticks: {show: false}, grid: {stroke: colour("--line"), width: 1},
  };
  let listener = () => {};
  const chart = new uPlot({
    width: Math.max(120, place.clientWidth), height, ms: 1, padding: [8, 4, 0, 0], legend: {show: false},
    cursor: {sync: {key: group, scales: ["x", null]}, y: false, drag: {x: false, y: false}, points: {size: 7}},
    scales: {x: {time: true, auto: false}, y: {range: (_, low, high) => bounds(low, high)}},
    axes: [
      {...axis, space: 90, size: 26, values: (self, ticks) => ticks.map((ms) => label(self, ms))},
      {...axis, size: 48, space: 28},
    ],
    series: [{}, {stroke: colour("--plot"), fill: colour("--plot-fill"), width: 1.5, points: {show: false}, spanGaps: false}],
    hooks: {setCursor: [(self) => listener(self.cursor.idx === null ? null : [self.data[0][self.cursor.idx], self.data[1][self.cursor.idx]])]},
  }, [[], []], place);
  const observer = new ResizeObserver(() => {
    if (place.clientWidth > 0 && place.clientWidth !== chart.width) chart.setSize({width: place.clientWidth, height});
  });
  observer.observe(place);
  return {
    show(fromMs, toMs, t, v) {
      chart.batch(() => {
        chart.setData(broken(t, v), false);
        chart.setScale("x", {min: fromMs, max: toMs});
      });
    },
    hover(each) { listener = each; },
    destroy() { observer.disconnect(); chart.destroy(); },
  };
}

/** The time at a tick, unless the plot's edge would cut it. */
function label(chart, ms) {
  const x = chart.valToPos(ms, "x");
  return x < HALF_LABEL_PX - 40 || x > chart.width - 48 - HALF_LABEL_PX ? "" : clock(new Date(ms));
}

/** Points with an empty one in each gap, so that no line is drawn across. */
function broken(t, v) {
  const steps = t.slice(1).map((ms, index) => ms - t[index]).sort((a, b) => a - b);
  const limit = Math.max(GAP_MIN_MS, GAP_FACTOR * (steps[steps.length >> 1] ?? 0));
  const [times, values] = [[], []];
  t.forEach((ms, index) => {
    if (index && ms - t[index - 1] > limit) {
      times.push(t[index - 1] + 1);
      values.push(null);
    }
    times.push(ms);
    values.push(v[index]);
  });
  return [times, values];
}

/** Some air above and below; a flat line in the middle. */
function bounds(low, high) {
  if (low === null || high === null) return [0, 1];
  const air = (high - low) * 0.08 || Math.abs(high) * 0.05 || 1;
  return [low - air, high + air];
}
