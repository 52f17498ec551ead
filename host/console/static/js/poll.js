// Asking the console again and again, cheaply: an unchanged answer is a 304 without a body, and a page nobody sees asks nothing.

/** The server's clock minus ours: ages are right although the clocks differ. */
let skewMs = 0;
export const nowMs = () => Date.now() + skewMs;

/** Whether the console answers: {ok, sinceMs}; listeners hear each change. */
export const link = {ok: null, sinceMs: 0, listeners: []};

export class Refused extends Error {
  constructor(status, body) {
    super(body?.message || `status ${status}`);
    this.status = status;
    this.code = body?.code || "";
  }
}

/** Ask once. Gives undefined when nothing changed since `etag.value`; throws Refused, or TypeError when the console is away. */
export async function ask(path, etag = {}, signal = undefined) {
  const headers = etag.value ? {"if-none-match": etag.value} : {};
  const limit = AbortSignal.timeout(10_000);
  let answer;
  try {
    answer = await fetch(path, {headers, cache: "no-store", signal: signal ? AbortSignal.any([signal, limit]) : limit});
  } catch (error) {
    if (!signal?.aborted) report(false);
    throw error;
  }
  report(true);
  const now = Number(answer.headers.get("x-now-ms"));
  if (now) skewMs = now - Date.now();
  if (answer.status === 304) return undefined;
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Refused(answer.status, body);
  etag.value = answer.headers.get("etag");
  return body;
}

/**
 * Ask `path()` each `everyMs` and hand what changed to `use`. Gives {again, stop}: `again` asks at once, without the ETag.
 * A path of null asks nothing this time. `refused` hears answers that are errors.
 */
export function poll(path, everyMs, use, refused = () => {}) {
  let timer = 0, stopped = false, etag = {}, asked = null;
  const stopper = new AbortController();
  async function turn() {
    clearTimeout(timer);
    const target = document.hidden ? null : path();
    if (target !== null) {
      if (target !== asked) [asked, etag] = [target, {}];
      try {
        const body = await ask(target, etag, stopper.signal);
        if (body !== undefined && !stopped && target === asked) use(body);
      } catch (error) {
        if (error instanceof Refused && !stopped) refused(error);
      }
    }
    if (!stopped) timer = setTimeout(turn, everyMs);
  }
  const wake = () => { if (!document.hidden) turn(); };
  document.addEventListener("visibilitychange", wake);
  turn();
  return {
    again() { etag = {}; asked = null; turn(); },
    stop() { stopped = true; clearTimeout(timer); stopper.abort(); document.removeEventListener("visibilitychange", wake); },
  };
}

function report(ok) {
  if (link.ok === ok) return;
  link.ok = ok;
  link.sinceMs = Date.now();
  for (const listener of link.listeners) listener();
}
