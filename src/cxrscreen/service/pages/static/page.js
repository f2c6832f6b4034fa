// What every page has: colours, the list of keys, times in the reader's own zone.

import { ask } from "./ask.js";
import { onKeys, keysAreOn, setKeysOn } from "./keys.js";
import { localise } from "./times.js";

const dialog = document.getElementById("shortcuts");

function switchTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme
    ? root.dataset.theme === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem("theme", root.dataset.theme);
  } catch {
    // Kept for this page only.
  }
}

function showKeys() {
  if (dialog.open) dialog.close();
  else dialog.showModal();
}

document.querySelector("[data-theme-switch]").addEventListener("click", switchTheme);
document.querySelector("[data-shortcuts]").addEventListener("click", showKeys);
dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
const box = dialog.querySelector("[data-keys-on]");
box.checked = keysAreOn();
box.addEventListener("change", () => setKeysOn(box.checked));

let going = false;
onKeys({
  "?": showKeys,
  d: switchTheme,
  g: () => {
    going = true;
    setTimeout(() => (going = false), 1200);
  },
});
onKeys(Object.fromEntries([["w", "/worklist"], ["u", "/upload"], ["f", "/figures"]].map(([key, address]) => [
  key,
  () => {
    if (!going || !document.querySelector(`nav a[href="${address}"]`)) return false;
    location.assign(address);
    return true;
  },
])), { first: true });

document.querySelector("[data-sign-out]")?.addEventListener("click", async () => {
  await ask("/api/v1/session", { method: "DELETE" });
  location.assign("/sign-in");
});

localise(document);
