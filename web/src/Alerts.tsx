import { AlertTabs } from "./AlertTabs";
import { Clip } from "./Clip";
import { Crop } from "./Crop";
import { type Alert, alertTitle, listAlerts } from "./faceApi";
import { moment, when } from "./format";
import { Problem } from "./Problem";
import { alertRoute, momentRoute, peopleRoute, rulesRoute } from "./route";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";

const POLL_MS = 2_000;

/** What the rules told, newest first; one of them with its clip. */
export function Alerts({ chosen }: { chosen: string | null }) {
  const { credentials } = useSigned();
  const { value, problem } = usePolled(() => listAlerts(credentials), [credentials], POLL_MS);
  if (!value) {
    return (
      <main class="page" aria-busy={!problem}>
        <Heading count={0} />
        <Problem problem={problem} />
      </main>
    );
  }
  const alert = value.find((one) => one.Id === chosen) ?? (chosen ? undefined : value[0]);
  return (
    <main class="page">
      <Heading count={value.length} />
      <Problem problem={problem} />
      {value.length === 0 && <NoAlerts />}
      {value.length > 0 && (
        <div class="split">
          <ul class="cards" aria-label="Alerts, newest first">
            {value.map((one) => (
              <li key={one.Id}>
                <a
                  href={alertRoute(one.Id)}
                  aria-current={one.Id === alert?.Id ? "page" : undefined}
                >
                  <Crop
                    collection={one.Collection}
                    sighting={one.SightingId}
                    label={alertTitle(one)}
                  />
                  <span>
                    <strong>{alertTitle(one)}</strong>
                    <small>
                      {one.Stream} · {when(one.Time)}
                    </small>
                  </span>
                </a>
              </li>
            ))}
          </ul>
          {alert ? (
            <Details key={alert.Id} alert={alert} />
          ) : (
            <p class="hint">This alert is not among the newest. Choose one from the list.</p>
          )}
        </div>
      )}
    </main>
  );
}

function Heading({ count }: { count: number }) {
  return (
    <div class="heading">
      <h1>
        Alerts <small>{count > 0 && count}</small>
      </h1>
      <AlertTabs view="alerts" />
    </div>
  );
}

function Details({ alert }: { alert: Alert }) {
  const person = alert.Event?.PersonId;
  return (
    <article class="details">
      <div class="who">
        <Crop collection={alert.Collection} sighting={alert.SightingId} label={alertTitle(alert)} />
        <div>
          <h2>{alertTitle(alert)}</h2>
          <p>
            on <strong>{alert.Stream}</strong>, {moment(alert.Time)}
            <br />
            <small>told by the rule “{alert.Rule}”</small>
          </p>
        </div>
      </div>
      <Clip stream={alert.Stream} range={alert.Clip} label={`${alertTitle(alert)}, clip`} />
      <p class="links">
        <a href={momentRoute(alert.Stream, alert.Time)}>Watch it in the archive</a>
        {person && alert.Collection && (
          <a href={peopleRoute(alert.Collection, person)}>
            {alert.Event?.Known ? "Other sightings" : "Say who it is"}
          </a>
        )}
      </p>
    </article>
  );
}

function NoAlerts() {
  return (
    <p class="hint">
      No alerts yet. A rule says when there is one: an unknown face, a certain person, too many or
      nobody for a while. <a href={rulesRoute}>See the rules, or make one.</a>
    </p>
  );
}
