import { useState } from "preact/hooks";
import type { Stream, StreamList } from "./api";
import { age, retention } from "./format";
import { liveRoute } from "./route";

/** From this many streams on, the list offers a filter. */
const FILTER_FROM = 9;

export function Sidebar({ list, chosen }: { list: StreamList; chosen: string | null }) {
  const [filter, setFilter] = useState("");
  const wanted = filter.trim().toLowerCase();
  const shown = list.streams.filter((stream) => stream.name.toLowerCase().includes(wanted));
  return (
    <aside>
      <h2 id="streams">
        Streams <small>{list.streams.length}</small>
      </h2>
      {list.streams.length >= FILTER_FROM && (
        <input
          type="search"
          placeholder="Filter"
          aria-label="Filter streams by name"
          value={filter}
          onInput={(event) => setFilter(event.currentTarget.value)}
        />
      )}
      <ul aria-labelledby="streams">
        {shown.map((stream) => (
          <li key={stream.name}>
            <a
              href={liveRoute(stream.name)}
              aria-current={stream.name === chosen ? "page" : undefined}
            >
              <span class={stream.live ? "dot on-air" : "dot"} aria-hidden="true" />
              <span class="name">{stream.name}</span>
              <small>{describe(stream, list.serverNow)}</small>
            </a>
          </li>
        ))}
      </ul>
      {shown.length === 0 && <p class="hint">No stream has “{filter}” in its name.</p>}
    </aside>
  );
}

function describe(stream: Stream, serverNow: number): string {
  const kept = retention(stream.retentionHours);
  if (stream.live) return `live · ${kept}`;
  if (!stream.newest) return `no video yet · ${kept}`;
  return `${age(serverNow - stream.newest.serverTimestamp)} · ${kept}`;
}
