import { useState } from "preact/hooks";
import { archivePlaylist, type Stream } from "./api";
import { fromLocalInput, moment, toLocalInput } from "./format";
import { Player } from "./player/Player";
import { archiveRoute } from "./route";

interface Props {
  stream: Stream;
  range: { start: number; end: number } | null;
  authorization: string | null;
  onSignedOut: () => void;
}

const SHORTCUTS: [string, number][] = [
  ["Last minute", 60],
  ["Last 10 minutes", 600],
  ["Last hour", 3600],
];

/** Chooses a stretch of the recording, on the producer's clock, and plays it. */
export function Archive({ stream, range, authorization, onSignedOut }: Props) {
  const { oldest, newest } = stream;
  if (!oldest || !newest) {
    return (
      <p class="hint">Nothing is recorded on this stream yet. Start a camera, then look here.</p>
    );
  }
  const last = Math.ceil(newest.producerTimestamp + newest.durationMs / 1000);
  const first = Math.floor(oldest.producerTimestamp);
  // What the form begins with; it keeps what is typed while the recording grows.
  const chosen = range ?? { start: Math.max(first, last - 60), end: last };
  const show = (start: number, end: number) => {
    location.hash = archiveRoute(stream.name, { start, end });
  };
  return (
    <>
      {range ? (
        <Player
          source={{ playlist: archivePlaylist(stream.name, range), authorization, live: false }}
          newest={null}
          label={`${stream.name}, recorded`}
          onSignedOut={onSignedOut}
        />
      ) : (
        <p class="hint">
          Recorded from {moment(first)} to {moment(last)}. Choose what to play.
        </p>
      )}
      <fieldset class="shortcuts">
        {SHORTCUTS.map(([label, seconds]) => (
          <button
            key={label}
            type="button"
            class="secondary outline"
            onClick={() => show(Math.max(first, last - seconds), last)}
          >
            {label}
          </button>
        ))}
      </fieldset>
      <RangeForm key={range ? archiveRoute("", range) : ""} chosen={chosen} onShow={show} />
    </>
  );
}

interface RangeFormProps {
  chosen: { start: number; end: number };
  onShow: (start: number, end: number) => void;
}

function RangeForm({ chosen, onShow }: RangeFormProps) {
  const [start, setStart] = useState(toLocalInput(chosen.start));
  const [end, setEnd] = useState(toLocalInput(chosen.end));
  const backwards = !(fromLocalInput(start) < fromLocalInput(end));
  return (
    <form
      class="range"
      onSubmit={(event) => {
        event.preventDefault();
        if (!backwards) onShow(fromLocalInput(start), fromLocalInput(end));
      }}
    >
      <label>
        From
        <input
          type="datetime-local"
          step={1}
          required
          value={start}
          onInput={(event) => setStart(event.currentTarget.value)}
        />
      </label>
      <label>
        To
        <input
          type="datetime-local"
          step={1}
          required
          value={end}
          aria-invalid={backwards ? "true" : undefined}
          onInput={(event) => setEnd(event.currentTarget.value)}
        />
      </label>
      <button type="submit" disabled={backwards}>
        Play
      </button>
    </form>
  );
}
