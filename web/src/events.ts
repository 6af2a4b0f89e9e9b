/**
 * What the service tells by itself: server-sent events, read by hand because the browser's own
 * `EventSource` cannot send a sign-in.
 */

import { authorization, type Credentials } from "./auth";

export interface ServerEvent {
  type: string;
  data: string;
}

export interface EventListener {
  onEvent(event: ServerEvent): void;
  onSignedOut(): void;
}

const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 15_000;
/** An event that is longer than this is no event of ours. */
const MAX_EVENT_CHARS = 4 << 20;

/** Listens until the returned function is called; connects again when the connection breaks. */
export function listenTo(
  path: string,
  credentials: Credentials | null,
  listener: EventListener,
): () => void {
  const end = new AbortController();
  void connect(path, credentials, listener, end.signal);
  return () => end.abort();
}

async function connect(
  path: string,
  credentials: Credentials | null,
  listener: EventListener,
  ended: AbortSignal,
): Promise<void> {
  const header = authorization(credentials);
  let pause = BACKOFF_FIRST_MS;
  while (!ended.aborted) {
    try {
      const response = await fetch(path, {
        headers: { Accept: "text/event-stream", ...(header ? { Authorization: header } : {}) },
        credentials: "omit",
        cache: "no-store",
        signal: ended,
      });
      if (response.status === 401) {
        listener.onSignedOut();
        return;
      }
      if (response.ok && response.body) {
        pause = BACKOFF_FIRST_MS;
        await read(response.body, (event) => listener.onEvent(event));
      }
    } catch {
      // Whatever broke, the next connection goes on.
    }
    await sleep(pause, ended);
    pause = Math.min(pause * 2, BACKOFF_MAX_MS);
  }
}

async function read(
  body: ReadableStream<Uint8Array>,
  onEvent: (event: ServerEvent) => void,
): Promise<void> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let waiting = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    waiting += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
    for (;;) {
      const end = waiting.indexOf("\n\n");
      if (end < 0) break;
      const event = parse(waiting.slice(0, end));
      waiting = waiting.slice(end + 2);
      if (event) onEvent(event);
    }
    if (waiting.length > MAX_EVENT_CHARS) {
      await reader.cancel();
      return;
    }
  }
}

/** One event's lines; nothing for a comment, which only keeps the connection. */
function parse(text: string): ServerEvent | null {
  let type = "message";
  const data: string[] = [];
  for (const line of text.split("\n")) {
    const [, field, value = ""] = /^([a-z]+): ?(.*)$/.exec(line) ?? [];
    if (field === "event") type = value;
    if (field === "data") data.push(value);
  }
  return data.length > 0 ? { type, data: data.join("\n") } : null;
}

function sleep(ms: number, ended: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    ended.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
