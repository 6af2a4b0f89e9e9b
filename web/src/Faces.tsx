import { useEffect, useMemo, useState } from "preact/hooks";
import { Crop } from "./Crop";
import { listenTo } from "./events";
import { eventsPath, type Finding, type TrackEvent } from "./faceApi";
import { timeOfDay } from "./format";
import { Processors } from "./Processors";
import { describe, Findings } from "./player/findings";
import { momentRoute, peopleRoute } from "./route";
import { useSigned } from "./signed";

/** What is shown of the past. */
const PASSED_SHOWN = 8;
const TAIL_SHOWN = 6;

/** Who came by, newest first, and the last findings. */
export interface FaceNews {
  passed: { event: TrackEvent; collection: string | null }[];
  tail: Finding[];
}

/** Listens to the findings of a stream. */
export function useFindings(stream: string): { findings: Findings; news: FaceNews } {
  const { credentials, onSignedOut } = useSigned();
  const findings = useMemo(() => new Findings(), [stream]);
  const [news, setNews] = useState<FaceNews>({ passed: [], tail: [] });
  useEffect(() => {
    setNews({ passed: [], tail: [] });
    return listenTo(eventsPath(stream), credentials, {
      onSignedOut,
      onEvent: ({ type, data }) => {
        if (type !== "finding") return;
        const finding = JSON.parse(data) as Finding;
        findings.add(finding);
        setNews((before) => tell(before, finding));
      },
    });
  }, [stream, credentials, findings]);
  return { findings, news };
}

function tell(before: FaceNews, finding: Finding): FaceNews {
  const { Collection, Events } = finding.Kinora;
  const appeared = Events.filter((event) => event.Type === "appeared");
  const known = new Set(before.passed.map(({ event }) => event.TrackId));
  const fresh = appeared.filter((event) => !known.has(event.TrackId));
  const passed = [...fresh.map((event) => ({ event, collection: Collection })), ...before.passed];
  return {
    passed: passed.slice(0, PASSED_SHOWN),
    tail: [finding, ...before.tail].slice(0, TAIL_SHOWN),
  };
}

/** Under the picture: who came by, what is found right now, and by whom. */
export function Faces({ stream, news }: { stream: string; news: FaceNews }) {
  return (
    <section class="faces-panel" aria-label="Faces">
      <h2>Faces</h2>
      <Processors stream={stream} />
      {news.passed.length > 0 && (
        <ul class="face-grid passed" aria-label="Who came by">
          {news.passed.map(({ event, collection }) => (
            <li key={event.TrackId}>
              <Passed stream={stream} event={event} collection={collection} />
            </li>
          ))}
        </ul>
      )}
      {news.tail.length > 0 && (
        <ol class="tail" aria-label="Newest findings">
          {news.tail.map((finding) => (
            <li key={finding.Kinora.FrameTimestamp}>
              <time>{preciseTime(finding.Kinora.FrameTimestamp)}</time> {summary(finding)}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

interface PassedProps {
  stream: string;
  event: TrackEvent;
  collection: string | null;
}

function Passed({ stream, event, collection }: PassedProps) {
  const name = event.PersonName ?? (event.Known ? "Known" : "Unknown");
  return (
    <>
      <a href={momentRoute(stream, event.Time)} title="Watch it in the archive">
        <Crop collection={collection} sighting={event.SightingId} label={name} />
        <strong>{name}</strong>
        <small>
          {timeOfDay(event.Time)}
          {event.Similarity !== null && ` · ${Math.round(event.Similarity)} %`}
        </small>
      </a>
      {!event.Known && event.PersonId && collection && (
        <a class="ask" href={peopleRoute(collection, event.PersonId)}>
          Who is it?
        </a>
      )}
    </>
  );
}

function summary(finding: Finding): string {
  const faces = finding.FaceSearchResponse;
  if (faces.length === 0) return "no face";
  return faces.map(describe).join(", ");
}

function preciseTime(epochSeconds: number): string {
  const date = new Date(epochSeconds * 1000);
  const tenths = Math.floor(date.getMilliseconds() / 100);
  return `${date.toLocaleTimeString("en-GB")}.${tenths}`;
}
