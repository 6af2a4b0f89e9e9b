/**
 * Who the browser is: the token of a sign-in link, or an access key with its secret.
 *
 * Kept in sessionStorage: it lives as long as the tab and is never sent by the browser on its own.
 */

export type Credentials =
  | { kind: "token"; token: string }
  | { kind: "key"; accessKey: string; secret: string };

const STORED = "kinora.credentials";

/** The `Authorization` header of every call, or nothing when the service runs without auth. */
export function authorization(credentials: Credentials | null): string | null {
  if (!credentials) return null;
  if (credentials.kind === "token") return `Bearer ${credentials.token}`;
  return `Basic ${btoa(`${credentials.accessKey}:${credentials.secret}`)}`;
}

/**
 * Takes the token out of a sign-in link (`/#token=…`) and out of the address bar and history,
 * so that neither a bookmark nor a shared screen gives it away.
 */
export function takeTokenFromAddress(): Credentials | null {
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  if (!token) return null;
  history.replaceState(null, "", location.pathname + location.search);
  const credentials: Credentials = { kind: "token", token };
  remember(credentials);
  return credentials;
}

export function remember(credentials: Credentials): void {
  sessionStorage.setItem(STORED, JSON.stringify(credentials));
}

export function forget(): void {
  sessionStorage.removeItem(STORED);
}

export function recall(): Credentials | null {
  const stored = sessionStorage.getItem(STORED);
  return stored ? (JSON.parse(stored) as Credentials) : null;
}
