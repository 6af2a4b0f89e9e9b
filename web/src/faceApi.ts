/** The part of the native API that is about faces: findings, people, alerts, processors. */

import { call, get } from "./api";
import type { Credentials } from "./auth";
import type { Range } from "./route";

/** Parts of the picture, from its top left corner. */
export interface Box {
  Left: number;
  Top: number;
  Width: number;
  Height: number;
}

/** A person came into view or was last seen. Times are seconds on the producer's clock. */
export interface TrackEvent {
  Type: "appeared" | "left";
  TrackId: string;
  Time: number;
  PersonId: string | null;
  PersonName: string | null;
  Known: boolean;
  Similarity: number | null;
  SightingId: string | null;
}

/** What was found in one frame; the members that the console shows. */
export interface Finding {
  FaceSearchResponse: {
    DetectedFace: { BoundingBox: Box; Confidence: number };
    MatchedFaces: { Similarity: number; Face: { ExternalImageId?: string } }[];
    Kinora: { TrackId: string; PersonId: string | null; PersonName: string | null; Known: boolean };
  }[];
  Kinora: {
    Processor: string;
    Collection: string | null;
    Stream: string;
    FrameTimestamp: number;
    Events: TrackEvent[];
  };
}

export interface Alert {
  Id: string;
  Rule: string;
  Type: "unknown" | "person" | "face" | "count" | "absence";
  Stream: string;
  Time: number;
  Event: TrackEvent | null;
  Collection: string | null;
  Clip: Range;
  SightingId: string | null;
}

export interface Sighting {
  id: string;
  personId: string;
  stream: string;
  producerTimestamp: number;
  confidence: number;
  crop: boolean;
}

/** A sighting that is like what was looked for. */
export interface FoundSighting extends Sighting {
  /** 0 to 100. */
  similarity: number;
}

export interface Person {
  id: string;
  name: string | null;
  known: boolean;
  userId: string | null;
  externalImageId: string | null;
  created: number;
  faces: number;
  sightings: number;
  newest: Sighting | null;
}

export interface Collection {
  id: string;
  people: number;
}

export interface Processor {
  name: string;
  status: "STOPPED" | "STARTING" | "RUNNING" | "FAILED" | "STOPPING";
  message: string;
  stream: string;
  output: string;
  collection: string;
  lagSeconds: number | null;
  frames: { decoded: number; analysed: number; skipped: number; failed: number };
}

/** People of one page of the listing, and of all pages that are shown. */
const MAX_PAGES = 10;
const ALERTS_SHOWN = 100;

type Who = Credentials | null;

export async function listAlerts(who: Who): Promise<Alert[]> {
  const answer = await json<{ alerts: Alert[] }>(`/v1/alerts?limit=${ALERTS_SHOWN}`, who);
  return answer.alerts;
}

export async function listProcessors(who: Who): Promise<Processor[]> {
  return (await json<{ processors: Processor[] }>("/v1/processors", who)).processors;
}

export async function setProcessor(name: string, act: "start" | "stop", who: Who): Promise<void> {
  await call("POST", `/v1/processors/${encodeURIComponent(name)}/${act}`, who, {});
}

export async function listCollections(who: Who): Promise<Collection[]> {
  return (await json<{ collections: Collection[] }>("/v1/collections", who)).collections;
}

export async function listPeople(collection: string, who: Who): Promise<Person[]> {
  const people: Person[] = [];
  let after: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const query: string = after ? `?${new URLSearchParams({ after })}` : "";
    const answer = await json<{ people: Person[]; next: string | null }>(
      `${folder(collection)}/people${query}`,
      who,
    );
    people.push(...answer.people);
    after = answer.next;
    if (!after) break;
  }
  return people;
}

export function getPerson(collection: string, person: string, who: Who): Promise<Person> {
  return json<Person>(personPath(collection, person), who);
}

export async function listSightings(
  collection: string,
  person: string,
  who: Who,
): Promise<Sighting[]> {
  const path = `${personPath(collection, person)}/sightings`;
  return (await json<{ sightings: Sighting[] }>(path, who)).sightings;
}

export async function renamePerson(
  collection: string,
  person: string,
  name: string | null,
  who: Who,
): Promise<void> {
  await call("PATCH", personPath(collection, person), who, { name });
}

export async function mergePerson(
  collection: string,
  person: string,
  into: string,
  who: Who,
): Promise<void> {
  await call("POST", `${personPath(collection, person)}/merge`, who, { into });
}

/** Some sightings are of somebody else, who is a person of its own then: which one. */
export async function splitPerson(
  collection: string,
  person: string,
  sightings: string[],
  who: Who,
): Promise<Person> {
  const answer = await call("POST", `${personPath(collection, person)}/split`, who, { sightings });
  return (await answer.json()) as Person;
}

/** Where else a face was seen that was seen once. */
export async function searchFace(
  collection: string,
  sightingId: string,
  who: Who,
): Promise<FoundSighting[]> {
  const answer = await call("POST", `${folder(collection)}/search`, who, { sightingId });
  return ((await answer.json()) as { sightings: FoundSighting[] }).sightings;
}

/** Enrols somebody new by a picture. */
export async function enrolPerson(
  collection: string,
  name: string,
  picture: Blob,
  who: Who,
): Promise<Person> {
  const path = `${folder(collection)}/people?${new URLSearchParams({ name })}`;
  return (await (await call("POST", path, who, picture)).json()) as Person;
}

/** Enrols another picture of somebody. */
export async function enrolFace(
  collection: string,
  person: string,
  picture: Blob,
  who: Who,
): Promise<void> {
  await call("POST", `${personPath(collection, person)}/faces`, who, picture);
}

export async function createCollection(collection: string, who: Who): Promise<void> {
  await call("PUT", folder(collection), who);
}

/** The sighting is of somebody else: of whom, as far as one can tell. */
export async function denySighting(
  collection: string,
  person: string,
  sighting: string,
  who: Who,
): Promise<Person> {
  const answer = await call("POST", `${personPath(collection, person)}/not`, who, { sighting });
  return (await answer.json()) as Person;
}

export async function deletePerson(collection: string, person: string, who: Who): Promise<void> {
  await call("DELETE", personPath(collection, person), who);
}

/** Where the picture of a sighting is. */
export function cropPath(collection: string, sighting: string): string {
  return `${folder(collection)}/sightings/${encodeURIComponent(sighting)}/crop.jpg`;
}

/** Where a clip is. */
export function clipPath(stream: string, range: Range): string {
  const query = new URLSearchParams({ start: String(range.start), end: String(range.end) });
  return `/v1/streams/${encodeURIComponent(stream)}/clip.mp4?${query}`;
}

/** Where events of a stream are told, or of all. */
export function eventsPath(stream?: string): string {
  return stream ? `/v1/events?${new URLSearchParams({ stream })}` : "/v1/events";
}

/** What an alert tells, in a few words. */
export function alertTitle(alert: Alert): string {
  const name = alert.Event?.PersonName;
  switch (alert.Type) {
    case "unknown":
      return "Unknown face";
    case "count":
      return "Many faces";
    case "absence":
      return "Nobody was seen";
    default:
      return name ?? (alert.Event?.Known ? "A known person" : "A face");
  }
}

/** What to call somebody. */
export function personLabel(person: Person): string {
  const name = person.name ?? person.userId ?? person.externalImageId;
  // Ids begin with their time, so it is their ends that tell people apart.
  return name ?? `Unknown ${person.id.slice(-4)}`;
}

async function json<T>(path: string, who: Who): Promise<T> {
  return (await (await get(path, who)).json()) as T;
}

function folder(collection: string): string {
  return `/v1/collections/${encodeURIComponent(collection)}`;
}

function personPath(collection: string, person: string): string {
  return `${folder(collection)}/people/${encodeURIComponent(person)}`;
}
