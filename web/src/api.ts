/** The part of the native API that the console uses. */

import { authorization, type Credentials } from "./auth";

/** One end of what a stream holds; timestamps are seconds since the Unix epoch. */
export interface FragmentMark {
  number: string;
  producerTimestamp: number;
  serverTimestamp: number;
  durationMs: number;
}

export interface Stream {
  name: string;
  arn: string;
  retentionHours: number;
  created: number;
  live: boolean;
  newest: FragmentMark | null;
  oldest: FragmentMark | null;
}

/** The streams, and the server's own time (seconds) to measure their age against. */
export interface StreamList {
  streams: Stream[];
  serverNow: number;
}

/** Why a call failed, in the three ways a person can act on. */
export class ApiError extends Error {
  constructor(
    readonly kind: "signed-out" | "unreachable" | "refused",
    message: string,
  ) {
    super(message);
  }
}

const CALL_TIMEOUT_MS = 10_000;
/** A file takes its time on the way, and the first picture waits for the models. */
const FILE_TIMEOUT_MS = 60_000;

export async function listStreams(credentials: Credentials | null): Promise<StreamList> {
  const response = await get("/v1/streams", credentials);
  const body = (await response.json()) as { streams: Stream[] };
  const date = Date.parse(response.headers.get("date") ?? "");
  return { streams: body.streams, serverNow: (Number.isNaN(date) ? Date.now() : date) / 1000 };
}

export async function get(path: string, credentials: Credentials | null): Promise<Response> {
  return call("GET", path, credentials);
}

/** Something large, such as a clip. */
export async function getFile(path: string, credentials: Credentials | null): Promise<Blob> {
  return (await call("GET", path, credentials, undefined, FILE_TIMEOUT_MS)).blob();
}

/** A call of the native API; `body` goes as JSON, unless it is a file. */
export async function call(
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE",
  path: string,
  credentials: Credentials | null,
  body?: unknown,
  timeoutMs = body instanceof Blob ? FILE_TIMEOUT_MS : CALL_TIMEOUT_MS,
): Promise<Response> {
  const header = authorization(credentials);
  const isFile = body instanceof Blob;
  const type = isFile ? body.type : "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: {
        ...(header ? { Authorization: header } : {}),
        ...(body === undefined ? {} : { "Content-Type": type }),
      },
      body: body === undefined ? null : isFile ? body : JSON.stringify(body),
      // The console answers a 401 itself; without this the browser may open its own dialogue.
      credentials: "omit",
      cache: "no-store",
      signal: AbortSignal.timeout(timeoutMs),
    });
  } catch {
    throw new ApiError("unreachable", "The service does not answer.");
  }
  if (response.status === 401 || response.status === 403) {
    throw new ApiError("signed-out", "The service did not accept this sign-in.");
  }
  if (!response.ok) throw new ApiError("refused", await explain(response));
  return response;
}

async function explain(response: Response): Promise<string> {
  const text = await response.text().catch(() => "");
  try {
    const body = JSON.parse(text) as { message?: string; Message?: string };
    const message = body.message ?? body.Message;
    if (message) return message;
  } catch {
    // Not JSON: the status alone has to do.
  }
  return `The service answered with status ${response.status}.`;
}

export function livePlaylist(stream: string): string {
  return `/v1/streams/${encodeURIComponent(stream)}/live.m3u8`;
}

/** The recording between two moments, in seconds since the Unix epoch. */
export function archivePlaylist(stream: string, range: { start: number; end: number }): string {
  const query = new URLSearchParams({ start: String(range.start), end: String(range.end) });
  return `/v1/streams/${encodeURIComponent(stream)}/hls.m3u8?${query}`;
}
