// One's own account: each form says itself what came of it.

import { Refused, ask, askJson, sendJson } from "./ask.js";

function wire(selector, work) {
  const form = document.querySelector(selector);
  form?.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector('button[type="submit"]');
    button.disabled = true;
    try {
      say(form, await work(form.elements), "");
    } catch (error) {
      say(form, error instanceof Refused ? error.message : "This did not work; try again.", "bad");
    }
    button.disabled = false;
  });
}

function say(form, words, kind) {
  const note = form.querySelector("[data-note]");
  note.textContent = words;
  note.className = `notice ${kind}`;
  note.hidden = !words;
}

wire("[data-password]", async (fields) => {
  if (fields.new.value !== fields.again.value) throw new Refused("The new password was typed in two ways; type it again.", 0);
  const whose = await askJson("/api/v1/session/password", {
    method: "PUT",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ present: fields.present.value, new: fields.new.value }),
  });
  // The session is another one from now on, and so is its token.
  document.querySelector('meta[name="csrf-token"]').content = whose.csrf_token;
  for (const name of ["present", "new", "again"]) fields[name].value = "";
  return "The password was changed; you are signed out everywhere else.";
});

wire("[data-token]", async (fields) => {
  const made = await sendJson("/api/v1/tokens", {
    name: fields.name.value,
    role: fields.role.value,
    days: Number(fields.days.value),
  });
  document.querySelector("[data-key]").textContent = made.key;
  document.querySelector("[data-made]").hidden = false;
  fields.name.value = "";
  return "";
});

for (const button of document.querySelectorAll("[data-revoke]")) {
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      await ask(`/api/v1/tokens/${button.dataset.revoke}`, { method: "DELETE" });
      button.closest("tr").remove();
      document.getElementById("said").textContent = "The token was revoked.";
    } catch (error) {
      document.getElementById("said").textContent = error.message;
      button.disabled = false;
    }
  });
}

document.querySelector("[data-end-all]").addEventListener("click", async () => {
  await ask("/api/v1/sessions", { method: "DELETE" });
  location.assign("/sign-in");
});
