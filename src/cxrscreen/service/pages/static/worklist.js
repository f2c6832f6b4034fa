// Rows keep themselves new. What changes in a row is changed where it stands; an order that changes under a pointer or
// a focus would make people open the wrong patient, so that waits until they ask for it.

import { ask } from "./ask.js";
import { onKeys } from "./keys.js";
import { localise } from "./times.js";

const EVERY = 3000;
const part = document.querySelector("[data-part]");
const news = document.querySelector("[data-news]");
const live = document.querySelector("[data-live]");
const said = document.getElementById("said");
let waiting = null;
let sleep = EVERY;

const rows = () => [...document.querySelectorAll("tr[data-study]")];
const order = (root) => [...root.querySelectorAll("tr[data-study]")].map((row) => row.dataset.study);

function isBusy() {
  return part.matches(":hover") || part.contains(document.activeElement);
}

function updateInPlace(fresh) {
  for (const row of fresh.querySelectorAll("tr[data-study]")) {
    const shown = part.querySelector(`tr[data-study="${row.dataset.study}"]`);
    if (!shown || shown.innerHTML === row.innerHTML) continue;
    const focused = shown.contains(document.activeElement);
    shown.replaceChildren(...row.cloneNode(true).childNodes);
    if (focused) shown.querySelector("a").focus();
  }
  const [shown, counts] = [part, fresh].map((root) => root.querySelector("[data-counts]"));
  if (shown.innerHTML !== counts.innerHTML) shown.replaceWith(counts.cloneNode(true));
}

function take(fresh) {
  const focused = document.activeElement.closest?.("tr[data-study]")?.dataset.study;
  part.replaceChildren(...fresh.childNodes);
  if (focused) part.querySelector(`tr[data-study="${focused}"] a`)?.focus();
  waiting = null;
  news.hidden = true;
}

function show(text) {
  const fresh = document.createElement("div");
  fresh.innerHTML = text;
  localise(fresh);
  const [before, after] = [order(part), order(fresh)];
  if (before.join() === after.join()) {
    if (after.length) updateInPlace(fresh);
    else if (part.innerHTML !== fresh.innerHTML) take(fresh);
    waiting = null;
    news.hidden = true;
    return;
  }
  if (!isBusy()) {
    take(fresh);
    return;
  }
  updateInPlace(fresh);
  waiting = fresh;
  const known = new Set(before);
  const added = after.filter((study) => !known.has(study)).length;
  const words = added ? `${added} new ${added === 1 ? "study" : "studies"}` : "The order has changed";
  if (news.hidden || !news.textContent.startsWith(words)) said.textContent = `${words}. Press U to show.`;
  news.textContent = `${words}: show (U)`;
  news.hidden = false;
}

async function refresh() {
  if (part && live.checked && !document.hidden) {
    try {
      show(await (await ask(`/worklist/rows${location.search}`)).text());
      sleep = EVERY;
    } catch {
      sleep = Math.min(sleep * 2, 60000);
    }
  }
  setTimeout(refresh, sleep);
}

function move(step) {
  const all = rows();
  if (!all.length) return false;
  const at = all.findIndex((row) => row.contains(document.activeElement));
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + step, 0), all.length - 1);
  all[next].querySelector("a").focus();
  return true;
}

onKeys({
  j: () => move(1),
  ArrowDown: () => move(1),
  k: () => move(-1),
  ArrowUp: () => move(-1),
  "/": () => document.querySelector("[data-find]").focus(),
  u: () => (waiting ? take(waiting) : false),
});

// Whom one looks for is sent in a body: addresses end in logs.
document.querySelector("[data-search]")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const answer = await ask("/worklist/found", { method: "POST", body: new FormData(event.target) });
    const found = document.createElement("div");
    found.innerHTML = await answer.text();
    localise(found);
    live.checked = false;
    document.querySelector("[data-filters]").hidden = true;
    take(found);
    said.textContent = part.querySelector("strong").textContent;
  } catch (error) {
    said.textContent = error.message;
  }
});

if (part) {
  news.addEventListener("click", () => waiting && take(waiting));
  const filters = document.querySelector("[data-filters]");
  filters.querySelector("[data-apply]").hidden = true;
  filters.addEventListener("change", (event) => {
    if (event.target.matches("select")) filters.requestSubmit();
  });
  setTimeout(refresh, EVERY);
}
