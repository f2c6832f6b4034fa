// The page of a study: its viewer, the reader's answer, the next study.

import { Refused, askJson, sendJson } from "./ask.js";
import { wireKeys, wireMaps, wireToolbar } from "./controls.js";
import { onKeys } from "./keys.js";
import { Viewer } from "./viewer.js";

const root = document.querySelector("[data-viewer]");
if (root) {
  const viewer = new Viewer(root);
  const radios = [...document.querySelectorAll('input[name="map"]')];
  wireToolbar(viewer);
  wireMaps(viewer, radios);
  wireKeys([viewer], radios);
  viewer.load();
}

const answer = document.querySelector("[data-answer]");
if (answer) {
  const note = answer.querySelector("[data-answer-note]");
  answer.addEventListener("submit", async (event) => {
    event.preventDefault();
    const given = Object.fromEntries([...new FormData(answer)].filter(([, value]) => value !== ""));
    const button = answer.querySelector('button[type="submit"]');
    const told = { ...given, ...(given.agrees && { agrees: given.agrees === "yes" }) };
    delete told.csrf_token;
    if (Object.keys(told).every((name) => name === "result")) {
      say("Nothing was answered yet: agree or disagree, name a diagnosis, a test, an onset, or write a comment.", "warn");
      return;
    }
    button.disabled = true;
    try {
      await sendJson(answer.dataset.answer, told);
      location.hash = "answers";
      location.reload();
    } catch (error) {
      say(error instanceof Refused ? error.message : "This could not be sent; try again.", "bad");
      button.disabled = false;
    }
  });

  function say(words, kind) {
    note.textContent = words;
    note.className = `notice ${kind}`;
    note.hidden = false;
  }
}

onKeys({
  n: () => document.querySelector("[data-next]")?.click() ?? false,
  e: () => document.querySelector("[data-answer] input[type=radio]")?.focus() ?? false,
  p: () => window.print(),
});
document.querySelector("[data-print]")?.addEventListener("click", () => window.print());
// What the page does not say belongs on paper too.
window.addEventListener("beforeprint", () => document.querySelectorAll("details.limits").forEach((part) => (part.open = true)));

for (const button of document.querySelectorAll("[data-again]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await sendJson(`/api/v1/images/${button.dataset.again}/screenings`, { system: button.dataset.system });
      location.reload();
    } catch (error) {
      document.getElementById("said").textContent = error.message;
      button.disabled = false;
    }
  });
}

// While the system works on the study, its page waits for the answer.
if (document.querySelector("[data-waiting]")) {
  const study = document.querySelector("[data-study]").dataset.study;
  const look = async () => {
    try {
      const { state } = await askJson(`/studies/${study}/state`);
      if (state !== "waiting") {
        location.reload();
        return;
      }
    } catch {
      // The next look may have more luck.
    }
    setTimeout(look, 3000);
  };
  setTimeout(look, 2000);
}
