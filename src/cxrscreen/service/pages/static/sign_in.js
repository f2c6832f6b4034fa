// Signing in; where it leads afterwards was checked by the service.

import { Refused, sendJson } from "./ask.js";

const form = document.querySelector("[data-sign-in]");
const refusal = form.querySelector("[data-refusal]");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = form.querySelector('button[type="submit"]');
  button.disabled = true;
  refusal.hidden = true;
  try {
    await sendJson("/api/v1/session", { name: form.elements.name.value, password: form.elements.password.value });
    location.assign(form.dataset.signIn);
  } catch (error) {
    refusal.textContent = error instanceof Refused ? error.message : "Signing in did not work; try again.";
    refusal.hidden = false;
    form.elements.password.value = "";
    form.elements.password.focus();
    button.disabled = false;
  }
});
