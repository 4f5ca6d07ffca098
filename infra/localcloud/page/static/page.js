// Asks once a second what there is and shows what has changed.

import { SessionEnded, ask, begin } from "./asking.js";
import { show } from "./dom.js";
import { drawMap } from "./map.js";
import { databaseTable, deploymentTable, linkTable, regionCards, trafficView } from "./sections.js";

const PAUSE_MS = 1000;
const place = (id) => document.getElementById(id);
let logName = null;

function say(text, isBad = false) {
  const message = place("message");
  message.textContent = text;
  message.hidden = !text;
  message.classList.toggle("bad", isBad);
}

async function act(words, method, path, body) {
  say(`${words} …`);
  try {
    await ask(method, path, body);
    document.activeElement?.matches("input, select") && document.activeElement.blur();
    say(`${words}: done`);
    await refresh();
  } catch (problem) {
    said(problem, words);
  }
}

function said(problem, words) {
  if (problem instanceof SessionEnded) {
    ended(problem);
  } else {
    say(`${words}: ${problem.message}`, true);
  }
}

function ended(problem) {
  place("main").hidden = true;
  place("connection").textContent = "no session";
  say(`${problem.message}: type ./cached-auth cloud page and open the link it prints`, true);
}

async function openLog(name) {
  logName = name;
  await showLog();
  place("logs").hidden = false;
  place("logs-title").focus();
}

async function showLog() {
  if (logName === null) return;
  try {
    const found = await ask("GET", `/_local/logs?name=${encodeURIComponent(logName)}`);
    place("logs-title").textContent = `Log: ${found.name}`;
    const lines = place("lines");
    const text = found.lines.map(([time, stream, line]) => `${time.slice(11, 23)} ${stream.padEnd(6)} ${line}`).join("\n");
    if (lines.textContent !== text) {
      lines.textContent = text;
      lines.scrollTop = lines.scrollHeight;
    }
  } catch (problem) {
    logName = null;
    said(problem, "log");
  }
}

/** Every byte more would be another picture. */
function inMegabytes({ memory_bytes: bytes, api, ...rest }) {
  return { ...rest, memory: bytes === null ? "–" : `${Math.round(bytes / 1e6)} MB` };
}

function span(seconds) {
  const parts = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]].map(([unit, size]) => {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    return count ? `${count}${unit}` : "";
  });
  return parts.join("") || "0s";
}

async function refresh() {
  const [state, { backups }] = await Promise.all([ask("GET", "/_local/state"), ask("GET", "/_local/databases/backups")]);
  const processes = [...state.replicas, ...state.caches].map(inMegabytes);
  const counts = {};
  for (const found of processes) {
    counts[found.region] ??= { running: 0, all: 0 };
    counts[found.region].all += 1;
    counts[found.region].running += found.status === "RUNNING" ? 1 : 0;
  }
  place("where").textContent = state.url;
  place("time").textContent = `${state.time.now.replace("T", " ").slice(0, 19)} UTC` +
    (state.time.offset_s ? ` (${span(state.time.offset_s)} ahead of this machine)` : "");
  const on = Object.values(state.faults).flatMap(Object.entries).filter(([, value]) => value);
  place("api-now").textContent = on.length ? `On: ${on.map(([name, value]) => `${name} ${value}`).join(", ")}` : "The API has no faults.";
  show(place("map"), { regions: state.regions, links: state.links, counts }, drawMap);
  show(place("regions"), { regions: state.regions, processes }, (data) => regionCards(data, act, openLog));
  show(place("databases"), { databases: state.databases.map(inMegabytes), backups }, (data) => databaseTable(data, act, openLog));
  show(place("deployments"), state.deployments, (data) => deploymentTable(data, act, openLog));
  show(place("traffic"), state.traffic, trafficView);
  show(place("links"), state.links, (data) => linkTable(data, act));
  await showLog();
  place("main").hidden = false;
  place("connection").textContent = state.restoring ? "live, bringing back what ran" : "live";
}

function follow() {
  refresh().then(
    () => setTimeout(follow, PAUSE_MS),
    (problem) => {
      if (problem instanceof SessionEnded) return ended(problem);
      place("connection").textContent = `not answering (${problem.message})`;
      setTimeout(follow, PAUSE_MS * 3);
    },
  );
}

function listen() {
  place("api-faults").addEventListener("submit", (event) => {
    event.preventDefault();
    const graphql = Object.fromEntries([...new FormData(event.target)].map(([name, value]) => [name, Number(value)]));
    act("API faults", "POST", "/_local/faults", { graphql });
  });
  place("advance").addEventListener("submit", (event) => {
    event.preventDefault();
    act("clock", "POST", "/_local/time", { advance_s: Number(new FormData(event.target).get("minutes")) * 60 });
  });
  place("clear").addEventListener("click", () => act("end all faults", "DELETE", "/_local/faults"));
  place("close-logs").addEventListener("click", () => {
    logName = null;
    place("logs").hidden = true;
    place("main").focus();
  });
  place("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  setTheme(localStorage.getItem("theme") ? localStorage.getItem("theme") === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);
}

function setTheme(isDark) {
  document.documentElement.dataset.theme = isDark ? "dark" : "light";
  place("theme").setAttribute("aria-pressed", String(isDark));
  localStorage.setItem("theme", isDark ? "dark" : "light");
}

listen();
begin().then(follow, ended);
