import { Clip } from "./Clip";
import { Copyable } from "./Copyable";
import { Crop } from "./Crop";
import { type Alert, listAlerts } from "./faceApi";
import { moment, when } from "./format";
import { Problem } from "./Problem";
import { alertRoute, momentRoute, peopleRoute } from "./route";
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
        <h1>Alerts</h1>
        <Problem problem={problem} />
      </main>
    );
  }
  const alert = value.find((one) => one.Id === chosen) ?? (chosen ? undefined : value[0]);
  return (
    <main class="page">
      <h1>
        Alerts <small>{value.length > 0 && value.length}</small>
      </h1>
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
                  <Crop collection={one.Collection} sighting={one.SightingId} label={title(one)} />
                  <span>
                    <strong>{title(one)}</strong>
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

function Details({ alert }: { alert: Alert }) {
  const person = alert.Event?.PersonId;
  return (
    <article class="details">
      <div class="who">
        <Crop collection={alert.Collection} sighting={alert.SightingId} label={title(alert)} />
        <div>
          <h2>{title(alert)}</h2>
          <p>
            on <strong>{alert.Stream}</strong>, {moment(alert.Time)}
            <br />
            <small>told by the rule “{alert.Rule}”</small>
          </p>
        </div>
      </div>
      <Clip stream={alert.Stream} range={alert.Clip} label={`${title(alert)}, clip`} />
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
  const rule = `{"when": {"type": "unknown"}, "targets": []}`;
  const command = [
    `curl -u ACCESS_KEY:SECRET_KEY -X PUT ${location.origin}/v1/alerts/rules/unknown-face \\`,
    `  -H 'Content-Type: application/json' -d '${rule}'`,
  ].join("\n");
  return (
    <>
      <p class="hint">
        No alerts yet. A rule says when there is one: an unknown face, a certain person, too many or
        nobody for a while. This one tells of faces that nobody has named:
      </p>
      <Copyable text={command} />
    </>
  );
}

function title(alert: Alert): string {
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
