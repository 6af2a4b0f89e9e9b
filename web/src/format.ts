/** Numbers and times as people read them. */

export function age(seconds: number): string {
  if (seconds < 5) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 90 * 60) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 36 * 3600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86_400)} days ago`;
}

export function retention(hours: number): string {
  if (hours === 0) return "nothing is kept";
  if (hours % 24 === 0) return hours === 24 ? "kept for 1 day" : `kept for ${hours / 24} days`;
  return `kept for ${hours} h`;
}

export function bitrate(bitsPerSecond: number): string {
  if (bitsPerSecond >= 1e6) return `${(bitsPerSecond / 1e6).toFixed(1)} Mbit/s`;
  return `${Math.round(bitsPerSecond / 1e3)} kbit/s`;
}

const CODECS: [RegExp, string][] = [
  [/^avc[13]/, "H.264"],
  [/^(hvc1|hev1)/, "H.265"],
  [/^mp4a\.40/, "AAC"],
  [/^av01/, "AV1"],
  [/^opus/i, "Opus"],
];

export function codecName(codec: string): string {
  return CODECS.find(([pattern]) => pattern.test(codec))?.[1] ?? codec;
}

export function moment(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toLocaleString(undefined, {
    dateStyle: "medium",
    timeStyle: "medium",
  });
}

/** For `<input type="datetime-local">`: local time to the second. */
export function toLocalInput(epochSeconds: number): string {
  const date = new Date(Math.floor(epochSeconds) * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}

export function fromLocalInput(value: string): number {
  return new Date(value).getTime() / 1000;
}

/** The time of day, to the second. */
export function timeOfDay(epochSeconds: number): string {
  return new Date(epochSeconds * 1000).toLocaleTimeString(undefined, { timeStyle: "medium" });
}

/** The time of day where it is today's, the whole moment else. */
export function when(epochSeconds: number): string {
  const today = new Date().toDateString() === new Date(epochSeconds * 1000).toDateString();
  return today ? timeOfDay(epochSeconds) : moment(epochSeconds);
}

export function seconds(value: number): string {
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;
}

/** A length of time in its largest whole unit. */
export function span(seconds: number): string {
  if (seconds > 0 && seconds % 3600 === 0) return `${seconds / 3600} h`;
  if (seconds > 0 && seconds % 60 === 0) return `${seconds / 60} min`;
  return `${seconds} s`;
}

/** "1 alert", "2 alerts". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** "once", "2 times". */
export function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
