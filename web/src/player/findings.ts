/**
 * Findings of a stream in the order of the picture's time, and where the faces are at any moment
 * of it: frames are looked at a few times a second, so between two of them boxes are placed on the
 * straight way from one to the other.
 *
 * Here: times and boxes. Not here: where findings come from, anything drawn.
 */

import type { Box, Finding } from "../faceApi";

export interface ShownFace {
  track: string;
  label: string;
  known: boolean;
  box: Box;
}

interface Seen {
  atMs: number;
  faces: { track: string; box: Box }[];
}

interface Identity {
  label: string;
  known: boolean;
}

/** Findings that are kept: live playback is never so far behind. */
const KEPT_MS = 120_000;
const MAX_KEPT = 2_000;
/** Two findings farther apart than this have nothing between them. */
const MAX_GAP_MS = 1_500;
/** How long a box stays where nothing newer is known. */
const HOLD_MS = 400;

export class Findings {
  private seen: Seen[] = [];
  /** By track. Who it is gets known after the first frames, and is then true of those too. */
  private readonly identities = new Map<string, Identity>();

  add(finding: Finding): void {
    const atMs = finding.Kinora.FrameTimestamp * 1000;
    const faces = finding.FaceSearchResponse.map((face) => {
      this.identify(face);
      return { track: face.Kinora.TrackId, box: face.DetectedFace.BoundingBox };
    });
    let place = this.seen.length;
    while (place > 0 && (this.seen[place - 1]?.atMs ?? 0) > atMs) place -= 1;
    // What is delivered twice replaces itself.
    const again = this.seen[place - 1]?.atMs === atMs;
    this.seen.splice(again ? place - 1 : place, again ? 1 : 0, { atMs, faces });
    this.forget();
  }

  /** The faces at a moment, in milliseconds since the epoch. */
  at(ms: number): ShownFace[] {
    let place = this.seen.length - 1;
    while (place >= 0 && (this.seen[place]?.atMs ?? 0) > ms) place -= 1;
    const before = this.seen[place];
    if (!before) return [];
    const after = this.seen[place + 1];
    const between = after !== undefined && after.atMs - before.atMs <= MAX_GAP_MS;
    const shown: ShownFace[] = [];
    for (const { track, box } of before.faces) {
      const target = between ? after.faces.find((face) => face.track === track) : undefined;
      if (!target && ms - before.atMs > HOLD_MS) continue;
      const part = target && after ? (ms - before.atMs) / (after.atMs - before.atMs) : 0;
      const identity = this.identities.get(track) ?? { label: "face", known: false };
      shown.push({ track, ...identity, box: target ? mix(box, target.box, part) : box });
    }
    return shown;
  }

  private identify(face: Finding["FaceSearchResponse"][number]): void {
    const { TrackId, PersonId, PersonName, Known } = face.Kinora;
    if (PersonId === null && this.identities.has(TrackId)) return;
    this.identities.set(TrackId, { label: describe(face), known: Known || PersonName !== null });
  }

  private forget(): void {
    const newest = this.seen[this.seen.length - 1]?.atMs ?? 0;
    const old = this.seen.findIndex((one) => one.atMs >= newest - KEPT_MS);
    const over = Math.max(old, this.seen.length - MAX_KEPT);
    if (over <= 0) return;
    this.seen.splice(0, over);
    const alive = new Set(this.seen.flatMap((one) => one.faces.map((face) => face.track)));
    for (const track of this.identities.keys()) {
      if (!alive.has(track)) this.identities.delete(track);
    }
  }
}

/** Whom a face is taken for, in a few words. */
export function describe(face: Finding["FaceSearchResponse"][number]): string {
  const { PersonId, PersonName, Known } = face.Kinora;
  const match = face.MatchedFaces[0];
  const name = PersonName ?? (Known ? match?.Face.ExternalImageId : undefined);
  if (name) return match ? `${name} ${Math.round(match.Similarity)} %` : name;
  if (Known) return "known";
  return PersonId ? "unknown" : "face";
}

function mix(from: Box, to: Box, part: number): Box {
  const between = (a: number, b: number) => a + (b - a) * part;
  return {
    Left: between(from.Left, to.Left),
    Top: between(from.Top, to.Top),
    Width: between(from.Width, to.Width),
    Height: between(from.Height, to.Height),
  };
}
