// The viewer's buttons and keys; the same for one viewer and for two that move together.

import { onKeys } from "./keys.js";

export function wireToolbar(viewer) {
  const { root } = viewer;
  const on = (name, action) => root.querySelector(`[data-${name}]`)?.addEventListener("click", action);
  const tools = root.querySelectorAll("[data-tool]");
  for (const button of tools) {
    button.addEventListener("click", () => {
      viewer.tool = button.dataset.tool;
      viewer.canvas.dataset.tool = viewer.tool;
      for (const other of tools) other.setAttribute("aria-pressed", String(other === button));
    });
  }
  on("zoom-in", () => viewer.zoom(1.25));
  on("zoom-out", () => viewer.zoom(0.8));
  on("invert", () => invert(viewer));
  on("stretch", () => viewer.stretch());
  on("reset", () => viewer.reset());
  on("lungs", () => toggleLungs(viewer));
  on("full", () => viewer.loadFull());
  on("screen", () => {
    if (document.fullscreenElement) document.exitFullscreen();
    else root.requestFullscreen();
  });
  const strength = root.querySelector("[data-strength]");
  strength.addEventListener("input", () => viewer.setStrength(Number(strength.value) / 100));
  viewer.addEventListener("look", () => {
    root.querySelector("[data-invert]").setAttribute("aria-pressed", String(viewer.window.invert));
  });
  viewer.addEventListener("loaded", () => {
    const full = root.querySelector("[data-full]");
    full.hidden = viewer.reduced >= 1;
  });
}

// Radios name a map by its result; the legend says what is seen.
export function wireMaps(viewer, radios) {
  const show = (radio) => {
    const { result, kind, lookedAt } = radio.dataset;
    const which = radio.value ? { result, name: radio.value, kind, lookedAt } : null;
    const legend = viewer.root.querySelector("[data-legend]");
    legend.hidden = !which;
    if (which) {
      legend.querySelector("[data-legend-title]").textContent = radio.dataset.title;
      legend.querySelector("[data-legend-note]").textContent = radio.dataset.note;
      legend.dataset.kind = which.kind;
    }
    viewer.showMap(which);
  };
  viewer.addEventListener("map", () => {
    viewer.root.querySelector("[data-unknown]").hidden = !viewer.map?.known;
  });
  for (const radio of radios) radio.addEventListener("change", () => radio.checked && show(radio));
  const checked = radios.find((radio) => radio.checked);
  if (checked) show(checked);
}

function invert(viewer) {
  viewer.setWindow({ invert: !viewer.window.invert });
}

export async function toggleLungs(viewer) {
  const button = viewer.root.querySelector("[data-lungs]");
  if (!button || button.disabled) return;
  const shown = button.getAttribute("aria-pressed") !== "true";
  button.setAttribute("aria-pressed", String(shown));
  viewer.root.querySelector("[data-lung-legend]").hidden = !shown;
  await viewer.showLungs(shown ? viewer.root.dataset.lungs : null);
}

export function wireKeys(viewers, radios) {
  const [lead] = viewers;
  // The arrow keys scroll the page unless an image has the focus.
  const focused = (action) => () => {
    const viewer = viewers.find(({ canvas }) => canvas === document.activeElement);
    if (viewer) action(viewer);
    return Boolean(viewer);
  };
  const all = (action) => () => viewers.forEach(action);
  const choose = (place) => () => {
    const radio = radios[place];
    if (!radio) return false;
    radio.checked = true;
    radio.dispatchEvent(new Event("change", { bubbles: true }));
    return true;
  };
  const strength = (step) => all((viewer) => {
    const slider = viewer.root.querySelector("[data-strength]");
    slider.value = String(Number(slider.value) + step);
    slider.dispatchEvent(new Event("input"));
  });
  onKeys({
    ArrowLeft: focused((viewer) => viewer.pan(60, 0)),
    ArrowRight: focused((viewer) => viewer.pan(-60, 0)),
    ArrowUp: focused((viewer) => viewer.pan(0, 60)),
    ArrowDown: focused((viewer) => viewer.pan(0, -60)),
    "Shift+ArrowUp": focused((viewer) => viewer.setWindow({ centre: viewer.window.centre - 0.02 })),
    "Shift+ArrowDown": focused((viewer) => viewer.setWindow({ centre: viewer.window.centre + 0.02 })),
    "Shift+ArrowLeft": focused((viewer) => viewer.setWindow({ width: viewer.window.width * 1.06 })),
    "Shift+ArrowRight": focused((viewer) => viewer.setWindow({ width: viewer.window.width / 1.06 })),
    "+": () => lead.zoom(1.25),
    "=": () => lead.zoom(1.25),
    "-": () => lead.zoom(0.8),
    i: () => invert(lead),
    a: () => lead.stretch(),
    r: () => lead.reset(),
    l: all((viewer) => toggleLungs(viewer)),
    ",": strength(-10),
    ".": strength(10),
    x: all((viewer) => viewer.setHidden(true)),
    ...Object.fromEntries([...Array(10).keys()].map((place) => [String(place), choose(place)])),
  });
  document.addEventListener("keyup", (event) => {
    if (event.key.toLowerCase() === "x") viewers.forEach((viewer) => viewer.setHidden(false));
  });
}
