import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { bitrate, codecName, moment } from "../format";
import { Boxes } from "./Boxes";
import type { Findings } from "./findings";
import { type Facts, type PlayerState, Session, type Source } from "./session";

interface Props {
  source: Source;
  /** Number of the stream's newest fragment, as last heard; wakes a stalled live playback. */
  newest: string | null;
  label: string;
  /** Faces to draw boxes around. */
  findings?: Findings;
  onSignedOut: () => void;
}

const NO_FACTS: Facts = {
  resolution: null,
  codecs: [],
  audio: false,
  bitrate: null,
  latencyMs: null,
  playingMs: null,
};

/** A video element with what a viewer wants to know about it: state, delay, format. */
export function Player({ source, newest, label, findings, onSignedOut }: Props) {
  const video = useRef<HTMLVideoElement>(null);
  const session = useRef<Session | null>(null);
  const [state, setState] = useState<PlayerState>({ kind: "connecting" });
  const [facts, setFacts] = useState<Facts>(NO_FACTS);
  const [muted, setMuted] = useState(true);
  const playingMs = useCallback(() => session.current?.playingMs() ?? null, []);

  useEffect(() => {
    if (!video.current) return;
    setFacts(NO_FACTS);
    const listener = { onState: setState, onFacts: setFacts, onSignedOut };
    const started = new Session(video.current, source, listener);
    session.current = started;
    return () => started.close();
  }, [source.playlist, source.authorization, source.live]);

  useEffect(() => {
    if (newest) session.current?.noteNewest(newest);
  }, [newest]);

  return (
    <figure class="player" data-state={state.kind}>
      <div class="screen">
        <video
          ref={video}
          muted
          autoplay
          playsInline
          controls
          aria-label={label}
          onVolumeChange={(event) => setMuted(event.currentTarget.muted)}
        />
        {findings && <Boxes video={video} playingMs={playingMs} findings={findings} />}
        <Notice state={state} onRetry={() => session.current?.retryNow()} />
        {muted && facts.audio && state.kind === "playing" && (
          <button
            type="button"
            class="unmute"
            onClick={() => {
              if (video.current) video.current.muted = false;
            }}
          >
            <SpeakerIcon /> Unmute
          </button>
        )}
      </div>
      <figcaption>
        <Badge
          state={state}
          facts={facts}
          live={source.live}
          onGoLive={() => session.current?.goLive()}
        />
        <FactLine facts={facts} live={source.live} />
      </figcaption>
    </figure>
  );
}

/** Says over the picture why it does not move, and what happens next. */
function Notice({ state, onRetry }: { state: PlayerState; onRetry: () => void }) {
  switch (state.kind) {
    case "connecting":
      return (
        <output class="notice" aria-busy="true">
          Connecting …
        </output>
      );
    case "buffering":
      return (
        <output class="notice" aria-busy="true">
          Waiting for more …
        </output>
      );
    case "asleep":
      return (
        <output class="notice">
          The camera has stopped sending. Playing goes on by itself when it returns.
        </output>
      );
    case "waiting":
      return (
        <output class="notice">
          {state.reason} <Countdown until={state.retryAt} />
          <button type="button" onClick={onRetry}>
            Try now
          </button>
        </output>
      );
    case "failed":
      return <output class="notice">{state.reason}</output>;
    default:
      return null;
  }
}

function Countdown({ until }: { until: number }) {
  const [now, setNow] = useState(performance.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(performance.now()), 250);
    return () => clearInterval(timer);
  }, []);
  return <span>Trying again in {Math.max(0, Math.ceil((until - now) / 1000))} s.</span>;
}

/** Beyond this the viewer is looking back on purpose, or has fallen behind. */
const BEHIND_MS = 15_000;

interface BadgeProps {
  state: PlayerState;
  facts: Facts;
  live: boolean;
  onGoLive: () => void;
}

function Badge({ state, facts, live, onGoLive }: BadgeProps) {
  if (!live) return <span class="badge">Archive</span>;
  const behind = (facts.latencyMs ?? 0) > BEHIND_MS;
  if (state.kind === "paused" || (state.kind === "playing" && behind)) {
    return (
      <button type="button" class="badge" onClick={onGoLive}>
        Go live
      </button>
    );
  }
  return <span class={state.kind === "playing" ? "badge on-air" : "badge"}>Live</span>;
}

function FactLine({ facts, live }: { facts: Facts; live: boolean }) {
  const { latencyMs, playingMs, resolution, codecs } = facts;
  return (
    <dl class="facts">
      {live && latencyMs !== null && (
        <Fact name="Delay" title="Now minus the time stamped on the picture">
          {latencyMs < -500 ? "clocks differ" : `${(Math.max(0, latencyMs) / 1000).toFixed(1)} s`}
        </Fact>
      )}
      {!live && playingMs !== null && <Fact name="Time">{moment(playingMs / 1000)}</Fact>}
      {resolution && <Fact name="Size">{resolution}</Fact>}
      {codecs.length > 0 && (
        <Fact name="Codec" title={codecs.join(", ")}>
          {codecs.map(codecName).join(" + ")}
        </Fact>
      )}
      {facts.bitrate && <Fact name="Rate">{bitrate(facts.bitrate)}</Fact>}
    </dl>
  );
}

function Fact(props: { name: string; title?: string; children: preact.ComponentChildren }) {
  return (
    <div title={props.title}>
      <dt>{props.name}</dt>
      <dd>{props.children}</dd>
    </div>
  );
}

function SpeakerIcon() {
  return (
    <svg viewBox="0 0 24 24" aria-hidden="true">
      <path d="M4 9v6h4l5 4V5L8 9H4z" fill="currentColor" />
      <path d="m16.5 9.5 5 5m0-5-5 5" stroke="currentColor" stroke-width="2" fill="none" />
    </svg>
  );
}
