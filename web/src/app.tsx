import { useEffect, useMemo, useState } from "preact/hooks";
import { Archive } from "./Archive";
import { type ApiError, livePlaylist, type Stream, type StreamList } from "./api";
import {
  authorization,
  type Credentials,
  forget,
  recall,
  remember,
  takeTokenFromAddress,
} from "./auth";
import { Empty } from "./Empty";
import { Player } from "./player/Player";
import { archiveRoute, liveRoute, type Route, readRoute } from "./route";
import { Sidebar } from "./Sidebar";
import { SignIn } from "./SignIn";
import { Snippets } from "./Snippets";
import { ThemeButton } from "./ThemeButton";
import { useStreams } from "./useStreams";

export function App() {
  const [credentials, setCredentials] = useState(() => takeTokenFromAddress() ?? recall());
  const [expired, setExpired] = useState(false);
  const route = useRoute(setCredentials);
  const { list, problem } = useStreams(credentials);

  const signOut = () => {
    forget();
    setCredentials(null);
    setExpired(false);
  };
  const signedOut = expired || problem?.kind === "signed-out";

  if (signedOut) {
    return (
      <SignIn
        reason={credentials ? "Your sign-in is no longer accepted. Sign in again." : null}
        onSignedIn={(fresh) => {
          remember(fresh);
          setExpired(false);
          setCredentials(fresh);
        }}
      />
    );
  }
  return (
    <>
      <header class="bar">
        <a class="brand" href="#/">
          <img src="/icon.svg" alt="" /> kinora
        </a>
        <nav>
          <ThemeButton />
          {credentials && (
            <button type="button" class="secondary outline" onClick={signOut}>
              Sign out
            </button>
          )}
        </nav>
      </header>
      {problem && <Trouble problem={problem} />}
      <Streams
        list={list}
        route={route}
        credentials={credentials}
        onSignedOut={() => setExpired(true)}
      />
    </>
  );
}

/** The address bar as state. A sign-in link opened in this very tab arrives here too. */
function useRoute(onCredentials: (credentials: Credentials) => void): Route {
  const [route, setRoute] = useState(() => readRoute(location.hash));
  useEffect(() => {
    const onHash = () => {
      const fresh = takeTokenFromAddress();
      if (fresh) onCredentials(fresh);
      setRoute(readRoute(location.hash));
    };
    addEventListener("hashchange", onHash);
    return () => removeEventListener("hashchange", onHash);
  }, []);
  return route;
}

function Trouble({ problem }: { problem: ApiError }) {
  return (
    <p class="trouble" role="alert">
      {problem.message}{" "}
      {problem.kind === "unreachable"
        ? "Check that “kinora serve” is running; this page goes on by itself when it is back."
        : "This page keeps trying."}
    </p>
  );
}

interface StreamsProps {
  list: StreamList | null;
  route: Route;
  credentials: Credentials | null;
  onSignedOut: () => void;
}

function Streams({ list, route, credentials, onSignedOut }: StreamsProps) {
  if (!list) {
    return (
      <main class="alone" aria-busy="true">
        Loading streams …
      </main>
    );
  }
  if (list.streams.length === 0) return <Empty />;
  // Without a choice, what a newcomer wants to see: something that moves.
  const fallback = list.streams.find((stream) => stream.live) ?? list.streams[0];
  const chosen = route.stream
    ? list.streams.find((stream) => stream.name === route.stream)
    : fallback;
  return (
    <div class="columns">
      <Sidebar list={list} chosen={chosen?.name ?? null} />
      <main>
        {chosen ? (
          <StreamView
            key={chosen.name}
            stream={chosen}
            route={route}
            credentials={credentials}
            onSignedOut={onSignedOut}
          />
        ) : (
          <p class="hint">
            There is no stream “{route.stream}”. It may have been deleted; choose one from the list.
          </p>
        )}
      </main>
    </div>
  );
}

interface StreamViewProps extends Omit<StreamsProps, "list"> {
  stream: Stream;
}

function StreamView({ stream, route, credentials, onSignedOut }: StreamViewProps) {
  const header = authorization(credentials);
  const live = useMemo(
    () => ({ playlist: livePlaylist(stream.name), authorization: header, live: true }),
    [stream.name, header],
  );
  return (
    <>
      <div class="heading">
        <h1>{stream.name}</h1>
        <nav aria-label="View">
          <a
            href={liveRoute(stream.name)}
            aria-current={route.view === "live" ? "page" : undefined}
          >
            Live
          </a>
          <a
            href={archiveRoute(stream.name)}
            aria-current={route.view === "archive" ? "page" : undefined}
          >
            Archive
          </a>
        </nav>
      </div>
      {route.view === "archive" ? (
        <Archive
          stream={stream}
          range={route.range}
          authorization={header}
          onSignedOut={onSignedOut}
        />
      ) : (
        <Player
          source={live}
          newest={stream.newest?.number ?? null}
          label={`${stream.name}, live`}
          onSignedOut={onSignedOut}
        />
      )}
      <Snippets stream={stream.name} credentials={credentials} />
    </>
  );
}
