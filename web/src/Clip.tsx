import { useEffect, useState } from "preact/hooks";
import { clipPath } from "./faceApi";
import type { Range } from "./route";
import { useBlob } from "./useBlob";

interface Props {
  stream: string;
  range: Range;
  label: string;
}

/** The last frames of a clip are durable so long after they were filmed. */
const SETTLED_S = 2.5;
/** A clip that is not there yet is asked for again. */
const RETRY_MS = 3_000;

/** A piece of the recording, played over and over. */
export function Clip({ stream, range, label }: Props) {
  const ready = useReady(range.end + SETTLED_S);
  const { url, problem } = useBlob(ready ? clipPath(stream, range) : null, RETRY_MS);
  if (!ready) return <p class="clip hint">The clip goes on for a few more seconds …</p>;
  if (problem) return <p class="clip hint">The clip cannot be shown: {problem.message}</p>;
  if (!url) {
    return (
      <p class="clip hint" aria-busy="true">
        Loading the clip …
      </p>
    );
  }
  return (
    <figure class="clip">
      <video src={url} controls autoplay muted loop playsInline aria-label={label} />
      <figcaption>
        <a href={url} download={`${stream}-${Math.round(range.start)}.mp4`}>
          Save the clip
        </a>
      </figcaption>
    </figure>
  );
}

/** Whether a moment, in seconds since the epoch, has passed. */
function useReady(at: number): boolean {
  const left = at - Date.now() / 1000;
  const [, setPassed] = useState(0);
  useEffect(() => {
    if (left <= 0) return;
    const timer = setTimeout(() => setPassed(at), left * 1000);
    return () => clearTimeout(timer);
  }, [at, left <= 0]);
  return left <= 0;
}
