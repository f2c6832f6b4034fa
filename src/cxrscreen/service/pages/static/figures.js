// The figures are fetched again each half minute, unless somebody has a table open or reads elsewhere.

import { ask } from "./ask.js";
import { localise } from "./times.js";

const part = document.querySelector("[data-part]");

async function refresh() {
  if (!document.hidden && !part.querySelector("details[open]") && !part.contains(document.activeElement)) {
    try {
      const text = await (await ask(`/figures/part${location.search}`)).text();
      const fresh = document.createElement("div");
      fresh.innerHTML = text;
      localise(fresh);
      if (fresh.innerHTML !== part.innerHTML) part.replaceChildren(...fresh.childNodes);
    } catch {
      // The next time may have more luck.
    }
  }
}

setInterval(refresh, 30000);
