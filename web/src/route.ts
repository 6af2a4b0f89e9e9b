/** What the address bar says: `#/name` plays live, `#/name/archive?start=&end=` a recording. */

export interface Route {
  stream: string | null;
  view: "live" | "archive";
  range: { start: number; end: number } | null;
}

export function readRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?");
  const [name = "", view] = path.split("/");
  const asked = new URLSearchParams(query);
  const start = Number(asked.get("start") ?? Number.NaN);
  const end = Number(asked.get("end") ?? Number.NaN);
  return {
    stream: decode(name) || null,
    view: view === "archive" ? "archive" : "live",
    range: start < end ? { start, end } : null,
  };
}

export function liveRoute(stream: string): string {
  return `#/${encodeURIComponent(stream)}`;
}

export function archiveRoute(stream: string, range?: { start: number; end: number }): string {
  const query = range ? `?start=${range.start}&end=${range.end}` : "";
  return `#/${encodeURIComponent(stream)}/archive${query}`;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
