import { useState } from "preact/hooks";
import { ApiError, listStreams } from "./api";
import type { Credentials } from "./auth";

interface Props {
  /** Why the person is here again, if not for the first time. */
  reason: string | null;
  onSignedIn: (credentials: Credentials) => void;
}

/** Sign-in with an access key, for those who did not come by a sign-in link. */
export function SignIn({ reason, onSignedIn }: Props) {
  const [accessKey, setAccessKey] = useState("");
  const [secret, setSecret] = useState("");
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState(reason);

  const submit = async (event: Event) => {
    event.preventDefault();
    setBusy(true);
    const credentials: Credentials = {
      kind: "key",
      accessKey: accessKey.trim(),
      secret: secret.trim(),
    };
    try {
      await listStreams(credentials);
      onSignedIn(credentials);
    } catch (error) {
      const refused = error instanceof ApiError && error.kind === "signed-out";
      setProblem(
        refused
          ? "This key and secret do not belong together. Copy both again from the credentials file."
          : `${(error as Error).message} Is “kinora serve” running?`,
      );
      setBusy(false);
    }
  };

  return (
    <main class="sign-in">
      <article>
        <h1>
          <img src="/icon.svg" alt="" /> kinora
        </h1>
        <p>
          Open the sign-in link printed by <code>kinora demo</code>, or enter an access key from the{" "}
          <code>credentials</code> file in the data directory.
        </p>
        <form onSubmit={submit}>
          <label>
            Access key
            <input
              name="username"
              autocomplete="username"
              autocapitalize="off"
              spellcheck={false}
              required
              value={accessKey}
              onInput={(event) => setAccessKey(event.currentTarget.value)}
            />
          </label>
          <label>
            Secret key
            <input
              name="password"
              type="password"
              autocomplete="current-password"
              required
              value={secret}
              onInput={(event) => setSecret(event.currentTarget.value)}
            />
          </label>
          {problem && (
            <p class="problem" role="alert">
              {problem}
            </p>
          )}
          <button type="submit" aria-busy={busy} disabled={busy}>
            Sign in
          </button>
        </form>
      </article>
    </main>
  );
}
