/**
 * What the address bar says: `#/name` plays live, `#/name/archive?start=&end=` a recording. Pages
 * that are no stream begin with a tilde, which no stream's name has: `#/~alerts/id`,
 * `#/~rules`, `#/~people/collection/person/sighting`, `#/~processors`.
 */

export interface Range {
  start: number;
  end: number;
}

export type Route =
  | { page: "stream"; stream: string | null; view: "live" | "archive"; range: Range | null }
  | { page: "alerts"; alert: string | null }
  | { page: "rules" }
  | {
      page: "people";
      collection: string | null;
      person: string | null;
      /** Which of the person's sightings is compared with all others. */
      sighting: string | null;
    }
  | { page: "processors" };

export function readRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name = "", second = "", third = "", fourth = ""] = path.split("/");
  switch (name) {
    case "~alerts":
      return { page: "alerts", alert: decode(second) || null };
    case "~rules":
      return { page: "rules" };
    case "~people":
      return {
        page: "people",
        collection: decode(second) || null,
        person: decode(third) || null,
        sighting: decode(fourth) || null,
      };
    case "~processors":
      return { page: "processors" };
  }
  const asked = new URLSearchParams(query);
  const start = Number(asked.get("start") ?? Number.NaN);
  const end = Number(asked.get("end") ?? Number.NaN);
  return {
    page: "stream",
    stream: decode(name) || null,
    view: second === "archive" ? "archive" : "live",
    range: start < end ? { start, end } : null,
  };
}

export function liveRoute(stream: string): string {
  return `#/${encodeURIComponent(stream)}`;
}

export function archiveRoute(stream: string, range?: Range): string {
  const query = range ? `?start=${range.start}&end=${range.end}` : "";
  return `#/${encodeURIComponent(stream)}/archive${query}`;
}

/** Seconds of the recording that are shown before and after a moment. */
const AROUND_SECONDS = 10;

/** The recording around a moment, in seconds since the Unix epoch. */
export function momentRoute(stream: string, seconds: number): string {
  const start = Math.floor(seconds - AROUND_SECONDS);
  return archiveRoute(stream, { start, end: start + 2 * AROUND_SECONDS });
}

export function alertRoute(alert?: string): string {
  return alert ? `#/~alerts/${encodeURIComponent(alert)}` : "#/~alerts";
}

export const rulesRoute = "#/~rules";

/** With a sighting: where else that face was. */
export function peopleRoute(collection?: string, person?: string, sighting?: string): string {
  const parts = [collection, person, sighting].filter((part) => part !== undefined);
  return ["#/~people", ...parts.map(encodeURIComponent)].join("/");
}

export const processorsRoute = "#/~processors";

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
