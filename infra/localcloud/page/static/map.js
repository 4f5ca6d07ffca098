// The regions where they lie on the globe (equirectangular), and the links between them.

import { element } from "./dom.js";

const WIDTH = 960;
const HEIGHT = 400;
const PLACES = {
  "us-west2": { longitude: -118.2, latitude: 34.1, city: "Los Angeles" },
  "us-east4-eqdc4a": { longitude: -77.5, latitude: 39.0, city: "Ashburn" },
  "europe-west4-drams3a": { longitude: 6.8, latitude: 53.4, city: "Eemshaven" },
  "asia-southeast1-eqsg3a": { longitude: 103.8, latitude: 1.35, city: "Singapore" },
};

function point(region) {
  const { longitude, latitude } = PLACES[region];
  return [((longitude + 160) / 310) * WIDTH, ((75 - latitude) / 100) * HEIGHT];
}

/** The worse of a pair's two directions, for one line. */
export function linkState(link) {
  if (link.cut) return "cut";
  if (link.partitioned) return "partitioned";
  return link.loss_rate || link.jitter_ms ? "slow" : "whole";
}

const ORDER = ["whole", "slow", "partitioned", "cut"];

export function drawMap({ regions, links, counts }) {
  const pairs = links.filter((link) => link.from < link.to);
  const lines = pairs.map((link) => {
    const back = links.find((other) => other.from === link.to && other.to === link.from);
    const state = ORDER[Math.max(ORDER.indexOf(linkState(link)), ORDER.indexOf(linkState(back)))];
    return drawLink(link, state);
  });
  const words = pairs.map((link) => `${link.from} to ${link.to}: ${linkState(link)}, ${link.rtt_ms} ms`).join("; ");
  return element(
    "svg:svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": `Regions and links. ${words}` },
    graticule(),
    lines,
    regions.map((region) => drawRegion(region, counts[region] ?? { running: 0, all: 0 })),
  );
}

function graticule() {
  const lines = [];
  for (let longitude = -150; longitude <= 150; longitude += 30) {
    const x = ((longitude + 160) / 310) * WIDTH;
    lines.push(element("svg:line", { x1: x, x2: x, y1: 0, y2: HEIGHT, class: "grid" }));
  }
  for (let latitude = 60; latitude >= -15; latitude -= 15) {
    const y = ((75 - latitude) / 100) * HEIGHT;
    lines.push(element("svg:line", { x1: 0, x2: WIDTH, y1: y, y2: y, class: latitude === 0 ? "grid equator" : "grid" }));
  }
  return lines;
}

function drawLink(link, state) {
  const [[x1, y1], [x2, y2]] = [point(link.from), point(link.to)];
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2 - Math.abs(x2 - x1) * 0.14];
  const path = `M ${x1} ${y1} Q ${x} ${y} ${x2} ${y2}`;
  const label = { x, y: (y + (y1 + y2) / 2) / 2 - 4, class: "rtt", "text-anchor": "middle" };
  return [element("svg:path", { d: path, class: `link ${state}` }), element("svg:text", label, `${link.rtt_ms} ms`)];
}

function drawRegion(region, { running, all }) {
  const [x, y] = point(region);
  const kind = all === 0 ? "empty" : running === all ? "good" : running ? "busy" : "bad";
  return element(
    "svg:g",
    { class: `place ${kind}` },
    element("svg:circle", { cx: x, cy: y, r: 15 }),
    element("svg:text", { x, y: y + 5, "text-anchor": "middle", class: "count" }, all ? `${running}/${all}` : "–"),
    element("svg:text", { x, y: y + 32, "text-anchor": "middle", class: "name" }, region),
    element("svg:text", { x, y: y + 47, "text-anchor": "middle", class: "city" }, PLACES[region].city),
  );
}
