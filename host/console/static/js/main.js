// Starts the page: what is asked how often, and the beat of a second for ages and countdowns.

import {setUp, route, tick as tickDevice} from "./device.js";
import {find, showDevices, showSparks, tick as tickDevices, wantedSparks} from "./devices.js";
import {h} from "./dom.js";
import {beat, showOverview} from "./overview.js";
import {poll} from "./poll.js";
import {showRollouts, tick as tickRollouts} from "./rollouts.js";
import {showQuarantine, showVersions} from "./versions.js";

const channel = document.getElementById("spark-channel");
let channelsOf = null;

poll(() => "api/overview", 1000, showOverview);
poll(() => "api/rollouts", 1000, showRollouts);
poll(() => "api/versions", 3000, showVersions);
poll(() => "api/quarantine", 5000, showQuarantine);
const sparks = poll(sparksPath, 2500, showSparks);
poll(() => "api/devices", 1000, (answer) => {
  const first = !wantedSparks().length;
  showDevices(answer);
  if (first) sparks.again();
  learnChannels(answer.devices);
});

document.getElementById("find").addEventListener("input", (event) => { find(event.target.value); sparks.again(); });
channel.addEventListener("change", () => sparks.again());
channel.parentElement.hidden = true;

setUp();
route();
beat();
setInterval(() => { beat(); tickRollouts(); tickDevices(); tickDevice(); }, 1000);

function sparksPath() {
  const devices = wantedSparks();
  if (!devices.length) return null;
  return `api/sparks?devices=${devices.join(",")}${channel.value ? `&channel=${encodeURIComponent(channel.value)}` : ""}`;
}

/** The channels to choose from are those of the first device that has readings; asked once. */
async function learnChannels(devices) {
  const first = devices?.find((row) => row.readings > 0)?.device;
  if (!first || channelsOf) return;
  channelsOf = first;
  try {
    const answer = await (await fetch(`api/devices/${first}`, {cache: "no-store"})).json();
    channel.replaceChildren(...answer.latest.map((one) => h("option", {value: one.channel}, one.channel)));
    channel.parentElement.hidden = answer.latest.length < 2;
    if (!answer.latest.length) channelsOf = null;
  } catch {
    channelsOf = null;   // with the next list of devices
  }
}
