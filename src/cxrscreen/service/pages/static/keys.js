// Single keys: only where nobody types, and only while the reader wants them (WCAG 2.1.4).

const listeners = [];

export function keysAreOn() {
  try {
    return localStorage.getItem("keys") !== "off";
  } catch {
    return true;
  }
}

export function setKeysOn(on) {
  try {
    localStorage.setItem("keys", on ? "on" : "off");
  } catch {
    // Kept nowhere.
  }
}

// An action that returns false did not take the key. "?" works always, since it shows the switch itself.
export function onKeys(actions, { first = false } = {}) {
  if (first) listeners.unshift(actions);
  else listeners.push(actions);
}

const TYPED = new Set(["text", "password", "search", "date", "number", "email"]);

function isTyping(target) {
  return target.closest?.("textarea, select, [contenteditable]") || (target.tagName === "INPUT" && TYPED.has(target.type));
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || isTyping(event.target)) return;
  const arrows = event.key.startsWith("Arrow");
  if (arrows && event.target.matches?.("input")) return;
  const dialog = document.querySelector("dialog[open]");
  if (dialog && event.key !== "?") return;
  if (!keysAreOn() && event.key !== "?" && !arrows) return;
  const key = `${event.shiftKey && (arrows || /^[a-z]$/i.test(event.key)) ? "Shift+" : ""}${event.key.length === 1 ? event.key.toLowerCase() : event.key}`;
  for (const actions of listeners) {
    const action = actions[key];
    if (action && action(event) !== false) {
      event.preventDefault();
      return;
    }
  }
});
