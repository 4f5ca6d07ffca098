// One builder per section: data in, elements out. `act(words, method, path, body)` asks the daemon and says what happened.

import { button, element, status, table } from "./dom.js";
import { linkState } from "./map.js";

const shownStatus = (found) => (found.is_held ? "DOWN" : found.is_paused ? "PAUSED" : found.status);

function processButtons(found, act, openLog, actions) {
  const ask = (action) => () => act(`${action} ${found.name}`, "POST", "/_local/faults/processes", { key: found.key, action });
  return element(
    "span",
    { class: "buttons" },
    actions.map((action) => button(`${action}-${found.key}`, action, ask(action), `${action} ${found.name}`)),
    button(`log-${found.key}`, "log", () => openLog(found.key), `log of ${found.name}`),
  );
}

export function regionCards({ regions, processes }, act, openLog) {
  return regions.map((region) => {
    const own = processes.filter((found) => found.region === region);
    const rows = own.map((found) => [
      found.name, status(shownStatus(found)), found.pid ?? "–", found.memory, found.restarts,
      processButtons(found, act, openLog, ["kill", "pause", "resume"]),
    ]);
    const heading = element("h3", {}, region);
    if (!rows.length) return element("article", { class: "card" }, heading, element("p", { class: "quiet" }, "nothing runs here"));
    return element("article", { class: "card" }, heading,
      table(`Replicas and caches in ${region}`, ["Name", "Status", "Process", "Memory", "Restarts", "Switches"], rows));
  });
}

export function databaseTable({ databases, backups }, act, openLog) {
  if (!databases.length) return element("p", { class: "quiet" }, "no databases");
  const rows = databases.map((found) => {
    const more = found.role === "standby"
      ? [button(`promote-${found.key}`, "promote",
          () => act(`promote ${found.name}`, "POST", "/_local/databases/promote", { name: found.key }), `promote ${found.name}`)]
      : [button(`backup-${found.key}`, "back up",
          () => act(`back up ${found.name}`, "POST", "/_local/databases/backup", { name: found.key }), `back up ${found.name}`)];
    const kept = backups.filter((one) => one.ref === found.ref && found.role === "primary").length;
    return [found.name, found.region, status(shownStatus(found)), found.pid ?? "–", found.memory,
      found.role === "primary" ? kept : "–",
      element("span", { class: "buttons" }, processButtons(found, act, openLog, ["down", "up", "kill", "pause", "resume"]), more)];
  });
  return table("Databases", ["Name", "Region", "Status", "Process", "Memory", "Backups", "Switches"], rows);
}

export function deploymentTable(deployments, act, openLog) {
  if (!deployments.length) return element("p", { class: "quiet" }, "nothing was deployed yet");
  const rows = deployments.map((found) => [
    `${found.project} / ${found.environment} / ${found.service}`, status(found.status),
    element("time", { datetime: found.created_at }, found.created_at.replace("T", " ").slice(0, 19)),
    Object.entries(found.regions).map(([region, count]) => `${region} ×${count}`).join(", "), found.what.slice(0, 24),
    button(`build-${found.id}`, "build log", () => openLog(found.id), `build log of ${found.service}, ${found.created_at}`),
  ]);
  return table("Deployments", ["Service", "Status", "Created", "Placement", "What", "Log"], rows);
}

const rounded = (value) => (value === null ? "–" : value.toFixed(1));

export function trafficView(traffic) {
  const regions = Object.entries(traffic);
  if (!regions.length) return element("p", { class: "quiet" }, "no edge has seen a request");
  const totals = regions.map(([region, one]) => [region, one.window_s, one.requests, element("span", { class: one.failures ? "bad" : "" }, one.failures),
    rounded(one.p50_ms), rounded(one.p95_ms)]);
  const recent = regions.flatMap(([region, one]) => one.recent.map((line) => ({ ...line, region })))
    .sort((one, other) => other.time_ms - one.time_ms).slice(0, 12);
  const rows = recent.map((line) => [new Date(line.time_ms).toISOString().slice(11, 23), line.region,
    `${line.method} ${line.path.slice(0, 60)}`, line.status, rounded(line.duration_ms), line.upstream_region || "–"]);
  return [
    table("Requests per region", ["Edge", "Seconds", "Requests", "Failures", "p50 (ms)", "p95 (ms)"], totals, true),
    table("Newest requests", ["Time", "Edge", "Request", "Status", "Took (ms)", "Answered by"], rows, true),
  ];
}

const NUMBERS = [["rtt_ms", "Round trip (ms)", 10000, 1], ["jitter_ms", "Jitter (ms)", 10000, 1], ["loss_rate", "Loss (0 to 1)", 1, 0.01]];

export function linkTable(links, act) {
  const rows = links.map((link) => {
    const id = `${link.from}-${link.to}`;
    const words = `${link.from} to ${link.to}`;
    const numbers = NUMBERS.map(([name, label, most, step]) => element("input", { id: `${id}-${name}`, type: "number", min: 0, max: most,
      step: step === 1 ? "any" : step, value: link[name], "aria-label": `${label}, ${words}` }));
    const state = link.cut ? "cut" : link.partitioned ? "partitioned" : "whole";
    const choice = element("select", { id: `${id}-state`, "aria-label": `State, ${words}` },
      ["whole", "partitioned", "cut"].map((one) => element("option", { value: one, selected: one === state }, one)));
    const set = () => act(`link ${words}`, "POST", "/_local/links", {
      from: link.from, to: link.to, cut: choice.value === "cut", partitioned: choice.value === "partitioned",
      ...Object.fromEntries(NUMBERS.map(([name], index) => [name, Number(numbers[index].value)])) });
    return [`${link.from} → ${link.to}`, element("span", { class: `key ${linkState(link)}` }, linkState(link)), ...numbers, choice,
      button(`${id}-set`, "set", set, `set the link ${words}`)];
  });
  return table("Links: connections opened in the first region towards the second",
    ["Link", "Now", "Round trip (ms)", "Jitter (ms)", "Loss", "State", "Set"], rows, true);
}
