// Requests to the service: signed with the page's token, and their errors as one sentence.

// What pages ask again and again by themselves. The service is told so: nobody may be sitting there any more, and a
// session ends when nobody has used it for a while.
const POLLED = /^\/(worklist\/rows|figures\/part|studies\/[^/]+\/state)$/;

const token = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

export function headers(more = {}) {
  const found = token();
  return found ? { ...more, "X-CSRF-Token": found } : { ...more };
}

export class Refused extends Error {
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

export async function ask(address, options = {}) {
  const poll = POLLED.test(new URL(address, location.href).pathname) ? { "X-Poll": "1" } : {};
  const sent = headers({ ...poll, ...options.headers });
  let answer;
  try {
    answer = await fetch(address, { ...options, headers: sent, credentials: "same-origin" });
  } catch {
    throw new Refused("The service does not answer; check the network. It is tried again.", 0);
  }
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") {
    // Back to this page afterwards, not to the part of it that was asked for.
    location.assign(`/sign-in?next=${encodeURIComponent(location.pathname + location.search)}`);
    throw new Refused("Sign in again.", 401);
  }
  if (!answer.ok) throw new Refused(await sentenceOf(answer), answer.status);
  return answer;
}

export const askJson = async (address, options) => (await ask(address, options)).json();

export function sendJson(address, content) {
  return askJson(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(content),
  });
}

async function sentenceOf(answer) {
  try {
    return (await answer.json()).detail ?? `The service answered ${answer.status}.`;
  } catch {
    return `The service answered ${answer.status}; load the page again.`;
  }
}
