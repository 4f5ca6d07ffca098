// The session and every request. The link's code comes in the fragment, which no server sees, and works once.

const KEY = "local-cloud-session";

export class SessionEnded extends Error {}

/** A session from the link, else the one of this tab. SessionEnded where there is neither. */
export async function begin() {
  const code = location.hash.slice(1);
  if (code) {
    history.replaceState(null, "", location.pathname);
    const answer = await fetch("session", { method: "POST", body: JSON.stringify({ code }) });
    if (!answer.ok) throw new SessionEnded((await answer.json()).message);
    sessionStorage.setItem(KEY, (await answer.json()).session);
  }
  if (!sessionStorage.getItem(KEY)) throw new SessionEnded("this page needs a link");
}

export async function ask(method, path, body) {
  const answer = await fetch(path, {
    method,
    headers: { Authorization: `Bearer ${sessionStorage.getItem(KEY)}` },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(250_000),
    credentials: "omit",
  });
  if (answer.status === 401) {
    sessionStorage.removeItem(KEY);
    throw new SessionEnded("the session has ended");
  }
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.message ?? `answered with ${answer.status}`);
  return document;
}
