// The public interface, as everybody else uses it too.

/** What control says when it does not do something. */
export class Problem extends Error {
  constructor(status, value) {
    super(value?.detail ?? value?.title ?? `status ${status}`);
    this.status = status;
    this.title = value?.title ?? "something went wrong";
    this.code = value?.code ?? "unknown";
  }
}

/** Nobody answers. */
export class Unreachable extends Error {}

/** Asks, and gives the answer; throws a [`Problem`] or [`Unreachable`]. */
export async function api(method, path, body) {
  const headers = method === "GET" ? {} : { "X-Sluice-Csrf": "1", "Content-Type": "application/json" };
  const options = { method, headers, credentials: "same-origin", body: body === undefined ? undefined : JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
  } catch (error) {
    throw new Unreachable(error.message);
  }
  const text = await answer.text().catch(() => "");
  let value = null;
  try {
    value = text ? JSON.parse(text) : null;
  } catch {
    // A proxy that says something of its own.
    if (answer.ok) throw new Unreachable("what answers is not control");
  }
  if (!answer.ok) throw new Problem(answer.status, value);
  return value;
}

/** All entries of a list, page by page: `read` is given what belongs behind the path's other parameters. */
export async function all(read) {
  let [page, items, first] = ["", [], null];
  do {
    const value = await read(page);
    first ??= value;
    items = items.concat(value.items);
    page = value.next_cursor === null ? null : `&cursor=${encodeURIComponent(value.next_cursor)}`;
  } while (page !== null && items.length < ITEMS_MAX);
  return { ...first, items };
}

/**
 * Tells of changes for as long as the page is open: `onChange` which topics, `onState` whether control is heard of.
 * A browser connects again by itself when the network fails, but not when it is refused.
 */
export function listen({ onChange, onState, onRefused }) {
  let [source, heard, retry] = [null, 0, null];
  const hear = () => {
    heard = Date.now();
    onState(true);
  };
  const open = () => {
    heard = Date.now();
    source = new EventSource("/api/v1/events");
    source.addEventListener("hello", () => {
      hear();
      onChange(["stats", "nodes", "placement", "alarms"]);
    });
    source.addEventListener("heartbeat", hear);
    source.addEventListener("changed", (event) => {
      hear();
      onChange(JSON.parse(event.data).topics);
    });
    source.onerror = () => {
      onState(false);
      if (source.readyState === EventSource.CLOSED) again();
    };
  };
  const again = () => {
    source.close();
    clearTimeout(retry);
    retry = setTimeout(async () => ((await onRefused()) ? open() : undefined), RETRY_MS);
  };
  const watch = setInterval(() => {
    if (source.readyState === EventSource.OPEN && Date.now() - heard > SILENCE_MS) {
      onState(false);
      again();
    }
  }, 5000);
  open();
  return () => {
    clearInterval(watch);
    clearTimeout(retry);
    source.close();
  };
}

const PATIENCE_MS = 10_000;
const RETRY_MS = 3000;
/** More than two heartbeats. */
const SILENCE_MS = 40_000;
/** Pages draw no more than that. */
const ITEMS_MAX = 20_000;
