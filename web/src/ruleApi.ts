/** The part of the native API that is about rules of alerts and what of them was not delivered. */

import { call, get } from "./api";
import type { Credentials } from "./auth";
import type { Alert } from "./faceApi";

/** What a rule watches for. */
export interface When {
  type: Alert["Type"];
  /** Of `count`. */
  count?: number;
  /** Of `count` and `absence`. */
  windowSeconds?: number;
  /** Names or ids: of `person`, and as a restriction of `count` and `absence`. */
  people?: string[];
}

export type Target =
  | { type: "webhook"; url: string; secret: string; attachClip: boolean }
  | { type: "email"; to: string[] };

export interface Rule {
  enabled: boolean;
  streams: string[] | null;
  when: When;
  /** Not in the form; kept as it is. */
  region: unknown;
  schedule: unknown;
  clip: { beforeSeconds: number; afterSeconds: number };
  targets: Target[];
  maxAttempts: number;
}

export interface NamedRule extends Rule {
  name: string;
}

export interface DeadLetters {
  count: number;
  waiting: number;
  alerts: Alert[];
}

type Who = Credentials | null;

export async function listRules(who: Who): Promise<NamedRule[]> {
  const answer = await get("/v1/alerts/rules", who);
  return ((await answer.json()) as { rules: NamedRule[] }).rules;
}

/** Makes a rule, or sets the one of that name anew. */
export async function putRule(rule: NamedRule, who: Who): Promise<void> {
  // The service refuses members that it sets itself.
  const { enabled, streams, when, region, schedule, clip, targets, maxAttempts } = rule;
  const body = { enabled, streams, when, region, schedule, clip, targets, maxAttempts };
  await call("PUT", rulePath(rule.name), who, body);
}

export async function deleteRule(name: string, who: Who): Promise<void> {
  await call("DELETE", rulePath(name), who);
}

export async function getDeadLetters(rule: string, who: Who): Promise<DeadLetters> {
  return (await (await get(`${rulePath(rule)}/dead-letters`, who)).json()) as DeadLetters;
}

/** Delivers them anew; how many. */
export async function restoreDeadLetters(rule: string, who: Who): Promise<number> {
  const answer = await call("POST", `${rulePath(rule)}/dead-letters/restore`, who);
  return ((await answer.json()) as { restored: number }).restored;
}

function rulePath(name: string): string {
  return `/v1/alerts/rules/${encodeURIComponent(name)}`;
}
