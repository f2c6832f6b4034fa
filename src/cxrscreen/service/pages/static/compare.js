// Two viewers whose views, windows and levels move together while the reader wants it.

import { wireKeys, wireMaps, wireToolbar } from "./controls.js";
import { Viewer } from "./viewer.js";

const linked = document.querySelector("[data-linked]");
const sides = [...document.querySelectorAll("[data-side]")];
const viewers = sides.map((side) => new Viewer(side.querySelector("[data-viewer]")));
const radiosOf = (side) => [...side.querySelectorAll('input[type="radio"]')];

viewers.forEach((viewer, place) => {
  wireToolbar(viewer);
  wireMaps(viewer, radiosOf(sides[place]));
  viewer.addEventListener("look", () => {
    if (linked.checked) for (const other of viewers) if (other !== viewer) other.look = viewer.look;
  });
});
wireKeys(viewers, radiosOf(sides[0]));
linked.addEventListener("change", () => {
  if (linked.checked) viewers[1].look = viewers[0].look;
});
await Promise.all(viewers.map((viewer) => viewer.load()));
