// Files go up one request each, three at a time, so that each has its progress and one that fails fails alone. A file
// without an answer may be sent again: the service knows it by its content.

import { Refused, askJson, headers } from "./ask.js";

const AT_ONCE = 3;
const form = document.querySelector("[data-send]");
const drop = document.querySelector("[data-drop]");
const input = document.querySelector("[data-files]");
const list = document.querySelector("[data-list]");
const said = document.getElementById("said");
const files = [];
const queue = [];
let sending = 0;

class Row {
  constructor(name, after = null) {
    const row = document.querySelector("[data-row]").content.cloneNode(true).firstElementChild;
    row.querySelector(".file-name").textContent = name;
    row.querySelector(".file-name").title = name;
    row.querySelector("progress").setAttribute("aria-label", `${name}, sent`);
    if (after) after.after(row);
    else list.append(row);
    this.root = row;
    this.over = false;
  }

  progress(share) {
    this.root.querySelector("progress").value = share;
  }

  say(state, kind, what = "") {
    const shown = this.root.querySelector(".file-state");
    if (shown.textContent !== state) shown.textContent = state;
    shown.className = `file-state ${kind}`;
    this.root.querySelector(".file-what").replaceChildren(what);
  }

  end(state, kind, what) {
    this.say(state, kind, what);
    this.root.querySelector(".file-progress").replaceChildren();
    this.over = true;
    this.kind = kind;
    summarise();
  }
}

function add(found) {
  for (const file of found) {
    const row = new Row(file.name);
    row.say("in line", "busy");
    files.push(row);
    queue.push({ file, row, said: Object.fromEntries(new FormData(form)) });
  }
  document.querySelector("[data-sent]").hidden = files.length === 0;
  summarise();
  next();
}

function next() {
  while (sending < AT_ONCE && queue.length) {
    sending += 1;
    send(queue.shift()).finally(() => {
      sending -= 1;
      next();
    });
  }
}

async function send(item, tries = 4) {
  const { file, row } = item;
  if (file.size > Number(form.dataset.largest)) {
    row.end("not sent", "bad", "The file is larger than the service takes.");
    return;
  }
  try {
    const submission = await post(item);
    row.progress(1);
    follow(row, submission, file.name);
  } catch (error) {
    if (error.status === 0 && tries > 1) {
      row.say("tried again soon", "busy", error.message);
      await pause(2000 * (5 - tries));
      await send(item, tries - 1);
      return;
    }
    const again = document.createElement("button");
    again.type = "button";
    again.textContent = "Send again";
    again.addEventListener("click", () => {
      row.over = false;
      again.remove();
      queue.push(item);
      next();
    });
    row.end(error.status === 0 ? "not sent" : "refused", "bad", error.message);
    if (error.status === 0 || error.status >= 500) row.root.querySelector(".file-what").append(" ", again);
  }
}

function post({ file, row, said: told }) {
  return new Promise((resolve, reject) => {
    const body = new FormData();
    for (const [name, value] of Object.entries(told)) if (value) body.append(name, value);
    body.append("files", file, file.name);
    const request = new XMLHttpRequest();
    request.open("POST", "/api/v1/submissions");
    for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (!event.lengthComputable) return;
      row.progress(event.loaded / event.total);
      row.say(event.loaded < event.total ? "sending" : "being checked", "busy");
    });
    request.addEventListener("load", () => {
      let answer = null;
      try {
        answer = JSON.parse(request.responseText);
      } catch {
        answer = null;
      }
      if (request.status === 202 && answer) resolve(answer);
      else reject(new Refused(answer?.detail ?? `The service answered ${request.status}.`, request.status));
    });
    for (const kind of ["error", "abort", "timeout"]) {
      request.addEventListener(kind, () => reject(new Refused("The service does not answer; check the network.", 0)));
    }
    request.send(body);
  });
}

// An archive has a row of its own and one for each file in it.
function follow(row, submission, name) {
  const { items } = submission;
  if (items.length === 1 && items[0].outcome !== "refused") {
    watch(row, submission.id, 0, items[0]);
    return;
  }
  let last = row.root;
  const inner = items.map((item) => {
    const made = new Row(item.name ?? name, last);
    made.root.classList.add("inner");
    last = made.root;
    files.push(made);
    return made;
  });
  row.end("unpacked", "good", `${items.length} files in it`);
  files.splice(files.indexOf(row), 1);
  items.forEach((item, place) => watch(inner[place], submission.id, place, item));
}

async function watch(row, submission, place, item) {
  let sleep = 700;
  for (;;) {
    if (item.outcome === "refused") {
      row.end("refused", "bad", item.reason ?? "");
      return;
    }
    const open = item.jobs.filter((job) => job.state === "waiting" || job.state === "leased");
    if (!open.length) break;
    row.progress(1);
    row.say(open.some((job) => job.state === "leased") ? "being screened" : "accepted, waiting", "busy", link(item.study, "open the study"));
    await pause(sleep);
    sleep = Math.min(sleep * 1.25, 5000);
    try {
      item = (await askJson(`/api/v1/submissions/${submission}`)).items[place];
    } catch (error) {
      if (error.status === 401 || error.status === 404) {
        row.end("unknown", "bad", error.message);
        return;
      }
    }
  }
  await finished(row, item);
}

async function finished(row, item) {
  const aside = item.jobs.find((job) => job.state === "set_aside");
  if (aside) {
    row.end("not screened", "bad", aside.reason ?? "");
    return;
  }
  const what = document.createElement("span");
  try {
    const state = await askJson(`/studies/${item.study}/state`);
    what.append(chip(state), " ", link(item.study, "open the study"));
  } catch {
    what.append(link(item.study, "open the study"));
  }
  row.end(item.outcome === "duplicate" ? "was here already" : "screened", "good", what);
}

function chip({ state, finding }) {
  const made = document.createElement("span");
  made.className = `chip ${state === "refused" ? "refused" : finding ?? "none"}`;
  made.textContent = state === "refused" ? "refused by the gate: a person has to read it" : form.ownerDocument.querySelector(`[data-finding="${finding}"]`)?.textContent ?? "no answer";
  return made;
}

function link(study, words) {
  const made = document.createElement("a");
  made.href = `/studies/${study}`;
  made.textContent = words;
  return made;
}

function summarise() {
  const over = files.filter((row) => row.over);
  const bad = over.filter((row) => row.kind === "bad").length;
  const total = document.querySelector("[data-total]");
  total.max = Math.max(files.length, 1);
  total.value = over.length;
  const words = `${over.length} of ${files.length} done${bad ? `, ${bad} not screened` : ""}`;
  document.querySelector("[data-summary]").textContent = words;
  if (files.length && over.length === files.length) said.textContent = words;
}

const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

async function dropped(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return [...transfer.files];
  const found = await Promise.all(entries.map(filesIn));
  return found.flat();
}

async function filesIn(entry) {
  if (entry.isFile) return [await new Promise((resolve, reject) => entry.file(resolve, reject))];
  const reader = entry.createReader();
  const all = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    all.push(...some);
  }
  return (await Promise.all(all.map(filesIn))).flat();
}

input.addEventListener("change", () => {
  add([...input.files]);
  input.value = "";
});
form.addEventListener("submit", (event) => event.preventDefault());
// A file that misses the zone is not opened by the browser in place of the page.
for (const kind of ["dragenter", "dragover"]) {
  window.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
window.addEventListener("dragleave", (event) => event.relatedTarget ?? drop.classList.remove("over"));
window.addEventListener("drop", async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  add(await dropped(event.dataTransfer));
});
window.addEventListener("beforeunload", (event) => {
  if (sending || queue.length) event.preventDefault();
});
