import { useEffect, useMemo, useState } from "preact/hooks";
import { Alerts } from "./Alerts";
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
import { Faces, useFindings } from "./Faces";
import { People } from "./People";
import { ProcessorsPage } from "./Processors";
import { Player } from "./player/Player";
import { Rules } from "./Rules";
import {
  alertRoute,
  archiveRoute,
  liveRoute,
  peopleRoute,
  processorsRoute,
  type Route,
  readRoute,
} from "./route";
import { Sidebar } from "./Sidebar";
import { SignIn } from "./SignIn";
import { Snippets } from "./Snippets";
import { SignedContext, useSigned } from "./signed";
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
  const signed = { credentials, onSignedOut: () => setExpired(true) };
  return (
    <SignedContext.Provider value={signed}>
      <header class="bar">
        <a class="brand" href="#/">
          <img src="/icon.svg" alt="" /> kinora
        </a>
        <Pages route={route} />
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
      <Page list={list} route={route} />
    </SignedContext.Provider>
  );
}

const PAGES: [Route["page"], string, string][] = [
  ["stream", "Streams", "#/"],
  ["alerts", "Alerts", alertRoute()],
  ["people", "People", peopleRoute()],
  ["processors", "Processors", processorsRoute],
];

function Pages({ route }: { route: Route }) {
  const open = route.page === "rules" ? "alerts" : route.page;
  return (
    <nav class="pages" aria-label="Pages">
      {PAGES.map(([page, name, href]) => (
        <a key={page} href={href} aria-current={open === page ? "page" : undefined}>
          {name}
        </a>
      ))}
    </nav>
  );
}

function Page({ list, route }: { list: StreamList | null; route: Route }) {
  switch (route.page) {
    case "alerts":
      return <Alerts chosen={route.alert} />;
    case "rules":
      return <Rules />;
    case "people":
      return <People {...route} />;
    case "processors":
      return <ProcessorsPage />;
    case "stream":
      return <Streams list={list} route={route} />;
  }
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

type StreamRoute = Extract<Route, { page: "stream" }>;

function Streams({ list, route }: { list: StreamList | null; route: StreamRoute }) {
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
          <StreamView key={chosen.name} stream={chosen} route={route} />
        ) : (
          <p class="hint">
            There is no stream “{route.stream}”. It may have been deleted; choose one from the list.
          </p>
        )}
      </main>
    </div>
  );
}

function StreamView({ stream, route }: { stream: Stream; route: StreamRoute }) {
  const { credentials, onSignedOut } = useSigned();
  const header = authorization(credentials);
  const live = useMemo(
    () => ({ playlist: livePlaylist(stream.name), authorization: header, live: true }),
    [stream.name, header],
  );
  const { findings, news } = useFindings(stream.name);
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
        <>
          {stream.newest ? (
            <Player
              source={live}
              newest={stream.newest.number}
              label={`${stream.name}, live`}
              findings={findings}
              onSignedOut={onSignedOut}
            />
          ) : (
            <p class="hint">Nothing has arrived on this stream yet. The picture comes by itself.</p>
          )}
          <Faces stream={stream.name} news={news} />
        </>
      )}
      <Snippets stream={stream.name} credentials={credentials} />
    </>
  );
}
