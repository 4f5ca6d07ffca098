// Elements from data. Text only ever becomes text: nothing that a process wrote can become markup.

export function element(name, attributes = {}, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value === true ? "" : String(value));
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return made;
}

const shown = new Map();
let pressed = null; // a button that is replaced between press and release would never hear of its click
addEventListener("pointerdown", (event) => { pressed = event.target; }, true);
for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => { pressed = null; }, true);

/** Replaces what is in `place` where `data` is not what it was, and keeps the focus where it is. */
export function show(place, data, build) {
  const text = JSON.stringify(data);
  if (shown.get(place.id) === text || (pressed && place.contains(pressed))) return;
  const focused = place.contains(document.activeElement) ? document.activeElement.id : "";
  if (focused && document.activeElement.matches("input, select")) return; // somebody is typing there
  shown.set(place.id, text);
  place.replaceChildren(...[build(data)].flat());
  if (focused) document.getElementById(focused)?.focus();
}

/** The caption is for who cannot see the heading above; `isShown` where it says more than that. */
export function table(caption, headings, rows, isShown = false) {
  return element(
    "div",
    { class: "scroll", role: "region", tabindex: "0", "aria-label": caption },
    element(
      "table",
      {},
      element("caption", { class: isShown ? "quiet" : "unseen" }, caption),
      element("thead", {}, element("tr", {}, headings.map((one) => element("th", { scope: "col" }, one)))),
      element("tbody", {}, rows.map((row) => element("tr", {}, row.map(cell)))),
    ),
  );
}

function cell(content, index) {
  return index === 0 ? element("th", { scope: "row" }, content) : element("td", {}, content);
}

export function status(text) {
  const kind = { RUNNING: "good", SUCCESS: "good", ACTIVE_HEALTHY: "good", CRASHED: "bad", FAILED: "bad", DOWN: "bad",
    ACTIVE_UNHEALTHY: "bad", INIT_FAILED: "bad", REMOVED: "quiet", EXITED: "quiet" }[text] ?? "busy";
  return element("span", { class: `status ${kind}` }, text);
}

export function button(id, label, act, words) {
  return element("button", { type: "button", id, "aria-label": words ?? null, onclick: act }, label);
}
