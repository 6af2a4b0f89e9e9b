/**
 * One playback of one playlist in one `<video>` element, and what becomes of it.
 *
 * Here: hls.js, its errors, and when to start over. Not here: anything drawn (`Player.tsx`).
 *
 * A live playback never gives up: a camera that pauses, a service that restarts and a session that
 * expires all end in the same place, a new playlist after a back-off. The last picture stays on
 * screen meanwhile.
 */

import type Hls from "hls.js";
import type { ErrorData } from "hls.js";

export type PlayerState =
  | { kind: "connecting" }
  | { kind: "playing" }
  | { kind: "paused" }
  | { kind: "buffering" }
  /** Live: nothing new arrives. Playback goes on by itself when the camera does. */
  | { kind: "asleep" }
  | { kind: "waiting"; reason: string; retryAt: number }
  | { kind: "ended" }
  | { kind: "failed"; reason: string };

/** What is known about the picture on screen. */
export interface Facts {
  resolution: string | null;
  codecs: string[];
  /** There is something to hear. */
  audio: boolean;
  bitrate: number | null;
  /** Now minus the program date time on screen, in milliseconds. */
  latencyMs: number | null;
  /** The program date time on screen, milliseconds since the Unix epoch. */
  playingMs: number | null;
}

export interface Source {
  playlist: string;
  authorization: string | null;
  live: boolean;
}

export interface Listener {
  onState(state: PlayerState): void;
  onFacts(facts: Facts): void;
  onSignedOut(): void;
}

const TICK_MS = 500;
/** Without progress for this long, playback counts as stalled. */
const STALL_MS = 1_500;
/** Stalled for this long with nothing new on the server: the camera has stopped. */
const ASLEEP_MS = 5_000;
/** Stalled for this long after the server told of newer fragments: start over. */
const RESTART_MS = 6_000;
/** A playback that ran for this long starts its back-off from the beginning. */
const HEALTHY_MS = 10_000;
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 10_000;
const BACK_BUFFER_S = 60;

export class Session {
  private hls: Hls | null = null;
  private state: PlayerState = { kind: "connecting" };
  private closed = false;
  private attempt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private readonly ticker: ReturnType<typeof setInterval>;
  private startedAt = performance.now();
  private lastTime = 0;
  private progressAt = performance.now();
  private newest: string | null = null;
  /** When the server first told of a newer fragment than those that led to the stall. */
  private newsAt: number | null = null;
  private mediaRecoveryAt = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly video: HTMLVideoElement,
    private readonly source: Source,
    private readonly listener: Listener,
  ) {
    this.ticker = setInterval(() => this.tick(), TICK_MS);
    void this.start();
  }

  close(): void {
    this.closed = true;
    clearInterval(this.ticker);
    clearTimeout(this.retry);
    this.hls?.destroy();
    this.hls = null;
    this.video.removeAttribute("poster");
  }

  /** Tells which fragment is the stream's newest: news while we stall means we should be playing. */
  noteNewest(number: string): void {
    if (number === this.newest) return;
    const known = this.newest !== null;
    this.newest = number;
    if (!known) return;
    this.newsAt ??= performance.now();
    if (this.state.kind === "waiting") this.startOver();
  }

  /** Tries now instead of at the end of the back-off. */
  retryNow(): void {
    if (this.state.kind === "waiting") this.startOver();
  }

  /** Back to the newest picture, for someone who paused or looked back. */
  goLive(): void {
    const edge = this.hls?.liveSyncPosition;
    if (edge != null) this.video.currentTime = edge;
    this.play();
  }

  /** The program date time on screen, milliseconds since the Unix epoch. */
  playingMs(): number | null {
    return this.hls?.playingDate?.getTime() ?? null;
  }

  private async start(): Promise<void> {
    this.setState({ kind: "connecting" });
    const { default: HlsJs } = await import("hls.js");
    if (this.closed) return;
    if (!HlsJs.isSupported()) {
      const reason =
        "This browser has no Media Source Extensions. Try a current Chrome or Firefox.";
      this.setState({ kind: "failed", reason });
      return;
    }
    const header = this.source.authorization;
    const hls = new HlsJs({
      backBufferLength: BACK_BUFFER_S,
      // Two segments behind the edge, and back to it when playback fell far behind.
      liveSyncDurationCount: 2,
      liveMaxLatencyDurationCount: 8,
      xhrSetup: (xhr, url) => {
        // Only to the service itself: a playlist must not be able to send the sign-in elsewhere.
        const ours = new URL(url, location.href).origin === location.origin;
        if (header && ours) xhr.setRequestHeader("Authorization", header);
      },
    });
    hls.on(HlsJs.Events.ERROR, (_, data) => this.onError(data));
    hls.on(HlsJs.Events.MANIFEST_PARSED, () => this.play());
    hls.loadSource(this.source.playlist);
    hls.attachMedia(this.video);
    this.hls = hls;
    this.startedAt = performance.now();
    this.progressAt = this.startedAt;
  }

  private play(): void {
    // Refused only when the browser forbids autoplay: its own controls then offer the button.
    this.video.play().catch(() => undefined);
  }

  private onError(data: ErrorData): void {
    const status = data.response?.code ?? 0;
    const summary = `${data.type} ${data.details} status=${status} ${data.error?.message ?? ""}`;
    console.warn(`[player] ${data.fatal ? "fatal" : "passing"} ${summary}`);
    if (!data.fatal || this.closed) return;
    if (status === 401) {
      this.listener.onSignedOut();
    } else if (data.type === "mediaError" && this.mayRecoverMedia()) {
      this.hls?.recoverMediaError();
    } else if (this.source.live) {
      this.scheduleRestart(explain(data.type, status));
    } else {
      this.release();
      this.setState({ kind: "failed", reason: explainArchive(data.type, status) });
    }
  }

  private mayRecoverMedia(): boolean {
    const now = performance.now();
    if (now - this.mediaRecoveryAt < HEALTHY_MS) return false;
    this.mediaRecoveryAt = now;
    return true;
  }

  private scheduleRestart(reason: string): void {
    this.release();
    const ceiling = Math.min(BACKOFF_FIRST_MS * 2 ** this.attempt, BACKOFF_MAX_MS);
    const delay = ceiling * (0.75 + Math.random() / 4);
    this.attempt += 1;
    this.setState({ kind: "waiting", reason, retryAt: performance.now() + delay });
    clearTimeout(this.retry);
    this.retry = setTimeout(() => this.startOver(), delay);
  }

  private startOver(): void {
    clearTimeout(this.retry);
    this.release();
    void this.start();
  }

  /** Lets go of hls.js, keeping the last picture as the poster. */
  private release(): void {
    const { videoWidth, videoHeight } = this.video;
    if (videoWidth > 0) {
      const canvas = document.createElement("canvas");
      canvas.width = videoWidth;
      canvas.height = videoHeight;
      canvas.getContext("2d")?.drawImage(this.video, 0, 0);
      this.video.poster = canvas.toDataURL("image/jpeg", 0.8);
    }
    this.hls?.destroy();
    this.hls = null;
    this.lastTime = 0;
  }

  private tick(): void {
    if (!this.hls) return;
    const now = performance.now();
    const time = this.video.currentTime;
    if (time !== this.lastTime) {
      this.lastTime = time;
      this.progressAt = now;
      this.newsAt = null;
    }
    this.listener.onFacts(this.facts());
    if (this.video.ended) this.setState({ kind: "ended" });
    else if (this.video.paused && this.video.readyState > 1) this.pausedByHand(now);
    else if (now - this.progressAt < STALL_MS && time > 0) this.playing(now);
    else this.stalled(now);
  }

  private pausedByHand(now: number): void {
    this.progressAt = now;
    this.newsAt = null;
    this.setState({ kind: "paused" });
  }

  private playing(now: number): void {
    if (now - this.startedAt > HEALTHY_MS) this.attempt = 0;
    this.setState({ kind: "playing" });
  }

  private stalled(now: number): void {
    const still = now - this.progressAt;
    const started = this.lastTime > 0;
    // A hidden tab is throttled by the browser: its stalls mean nothing.
    const overdue = this.newsAt !== null && now - Math.max(this.newsAt, this.startedAt);
    if (this.source.live && overdue && overdue > RESTART_MS && !document.hidden) {
      this.scheduleRestart("Playback stalled.");
    } else if (this.source.live && started && still > ASLEEP_MS && this.newsAt === null) {
      this.setState({ kind: "asleep" });
    } else if (started && still > STALL_MS) {
      this.setState({ kind: "buffering" });
    }
  }

  private facts(): Facts {
    const level = this.hls?.levels[Math.max(0, this.hls.currentLevel)];
    const playing = this.playingMs();
    const { videoWidth, videoHeight } = this.video;
    const codecs = [level?.videoCodec, level?.audioCodec].filter((codec) => codec !== undefined);
    return {
      resolution: videoWidth > 0 ? `${videoWidth} × ${videoHeight}` : null,
      codecs,
      audio: level?.audioCodec !== undefined,
      bitrate: level?.bitrate || null,
      latencyMs: playing === null || !this.source.live ? null : Date.now() - playing,
      playingMs: playing,
    };
  }

  private setState(state: PlayerState): void {
    if (state.kind === this.state.kind && state.kind !== "waiting") return;
    this.state = state;
    if (!this.closed) this.listener.onState(state);
  }
}

function explain(type: string, status: number): string {
  if (status === 404) return "The camera is not sending.";
  if (status === 403) return "The playback session ended.";
  if (status >= 500) return `The service answered with status ${status}.`;
  if (type === "networkError") return "The service does not answer.";
  return "The picture could not be decoded.";
}

function explainArchive(type: string, status: number): string {
  if (status === 404) return "Nothing is recorded in this range. Choose another one.";
  if (status === 400) return "The service refused this range. Choose a shorter one.";
  return explain(type, status);
}
