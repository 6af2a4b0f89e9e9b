import { useState } from "preact/hooks";
import type { ApiError } from "./api";
import { Crop } from "./Crop";
import {
  deletePerson,
  denySighting,
  getPerson,
  listCollections,
  listPeople,
  listSightings,
  mergePerson,
  type Person,
  personLabel,
  renamePerson,
  type Sighting,
} from "./faceApi";
import { when } from "./format";
import { Problem } from "./Problem";
import { momentRoute, peopleRoute } from "./route";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";

const POLL_MS = 3_000;

interface Props {
  collection: string | null;
  person: string | null;
}

/** Who was seen: those with a name, and those who wait for one. */
export function People({ collection, person }: Props) {
  const { credentials } = useSigned();
  const { value, problem } = usePolled(() => listCollections(credentials), [credentials], POLL_MS);
  const chosen = collection ?? value?.[0]?.id ?? null;
  return (
    <main class="page">
      <div class="heading">
        <h1>
          <a href={peopleRoute()}>People</a>
        </h1>
        {value && value.length > 1 && (
          <nav aria-label="Collection">
            {value.map(({ id }) => (
              <a key={id} href={peopleRoute(id)} aria-current={id === chosen ? "page" : undefined}>
                {id}
              </a>
            ))}
          </nav>
        )}
      </div>
      <Problem problem={problem} />
      {value?.length === 0 && (
        <p class="hint">
          There is no collection of faces yet. Create one with Rekognition's CreateCollection and
          name it in a stream processor: whoever passes the camera then appears here.
        </p>
      )}
      {chosen && !person && <Everybody key={chosen} collection={chosen} />}
      {chosen && person && <Somebody key={person} collection={chosen} id={person} />}
    </main>
  );
}

function Everybody({ collection }: { collection: string }) {
  const { credentials } = useSigned();
  const { value, problem } = usePolled(
    () => listPeople(collection, credentials),
    [collection, credentials],
    POLL_MS,
  );
  if (!value) return problem ? <Problem problem={problem} /> : <p aria-busy="true">Loading …</p>;
  const unknown = value.filter((person) => !person.known).sort(lastSeenFirst);
  const known = value.filter((person) => person.known).sort(lastSeenFirst);
  return (
    <>
      <Problem problem={problem} />
      <Group
        title="Unknown"
        hint="Nobody unknown was seen. Who is, waits here for a name."
        people={unknown}
        collection={collection}
      />
      <Group
        title="Known"
        hint="Nobody has a name yet. Choose an unknown face to give it one, or enrol a picture with Rekognition's IndexFaces."
        people={known}
        collection={collection}
      />
    </>
  );
}

interface GroupProps {
  title: string;
  hint: string;
  people: Person[];
  collection: string;
}

function Group({ title, hint, people, collection }: GroupProps) {
  return (
    <section aria-label={title}>
      <h2>
        {title} <small>{people.length}</small>
      </h2>
      {people.length === 0 && <p class="hint">{hint}</p>}
      <ul class="face-grid">
        {people.map((person) => (
          <li key={person.id}>
            <a href={peopleRoute(collection, person.id)}>
              <Crop
                collection={collection}
                sighting={person.newest?.crop ? person.newest.id : null}
                label={personLabel(person)}
              />
              <strong>{personLabel(person)}</strong>
              <small>
                {person.newest
                  ? `seen ${times(person.sightings)}, last ${when(person.newest.producerTimestamp)}`
                  : "not seen yet"}
              </small>
            </a>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Somebody({ collection, id }: { collection: string; id: string }) {
  const { credentials } = useSigned();
  const person = usePolled(
    () => getPerson(collection, id, credentials),
    [collection, id, credentials],
    POLL_MS,
  );
  const sightings = usePolled(
    () => listSightings(collection, id, credentials),
    [collection, id, credentials],
    POLL_MS,
  );
  const [failed, setFailed] = useState<ApiError | null>(null);
  const act = async (what: Promise<void>) => {
    try {
      await what;
      setFailed(null);
    } catch (error) {
      setFailed(error as ApiError);
    }
    person.reload();
    sightings.reload();
  };
  const { value } = person;
  if (!value) {
    if (!person.problem) return <p aria-busy="true">Loading …</p>;
    return <Problem problem={person.problem} />;
  }
  const deny = (sighting: string) => act(denySighting(collection, id, sighting, credentials));
  return (
    <>
      <article class="details">
        <div class="who">
          <Crop
            collection={collection}
            sighting={value.newest?.crop ? value.newest.id : null}
            label={personLabel(value)}
          />
          <div>
            <h2>{personLabel(value)}</h2>
            <small>
              {value.known ? "known" : "unknown"} · seen {times(value.sightings)} ·{" "}
              {value.faces === 1 ? "1 enrolled face" : `${value.faces} enrolled faces`}
            </small>
          </div>
        </div>
        <Problem problem={failed ?? person.problem} />
        <NameForm
          person={value}
          onName={(name) => act(renamePerson(collection, id, name, credentials))}
        />
        <MergeForm collection={collection} person={value} onFailure={setFailed} />
      </article>
      <Sightings collection={collection} list={sightings.value} onDeny={deny} />
    </>
  );
}

function NameForm({ person, onName }: { person: Person; onName: (name: string) => void }) {
  const [name, setName] = useState(person.name ?? "");
  return (
    <form
      class="inline"
      onSubmit={(event) => {
        event.preventDefault();
        onName(name.trim());
      }}
    >
      <input
        aria-label="Name"
        placeholder="Who is it?"
        required
        maxLength={128}
        value={name}
        onInput={(event) => setName(event.currentTarget.value)}
      />
      <button type="submit" disabled={name.trim() === (person.name ?? "")}>
        {person.name ? "Rename" : "Name"}
      </button>
    </form>
  );
}

interface MergeFormProps {
  collection: string;
  person: Person;
  onFailure: (error: ApiError) => void;
}

/** "This is the same as …", and the end of all that is kept of somebody. */
function MergeForm({ collection, person, onFailure }: MergeFormProps) {
  const { credentials } = useSigned();
  const [into, setInto] = useState("");
  const { value } = usePolled(
    () => listPeople(collection, credentials),
    [collection, credentials],
    POLL_MS,
  );
  const others = value?.filter((other) => other.id !== person.id) ?? [];
  const leave = async (what: Promise<void>, to: string) => {
    try {
      await what;
      location.hash = to;
    } catch (error) {
      onFailure(error as ApiError);
    }
  };
  const remove = () => {
    const sure = confirm(`Delete ${personLabel(person)}, all sightings and pictures?`);
    if (!sure) return;
    void leave(deletePerson(collection, person.id, credentials), peopleRoute(collection));
  };
  return (
    <form
      class="inline"
      onSubmit={(event) => {
        event.preventDefault();
        const merging = mergePerson(collection, person.id, into, credentials);
        void leave(merging, peopleRoute(collection, into));
      }}
    >
      <select
        aria-label="The same person as"
        value={into}
        onChange={(event) => setInto(event.currentTarget.value)}
      >
        <option value="">The same person as …</option>
        {others.map((other) => (
          <option key={other.id} value={other.id}>
            {personLabel(other)}
          </option>
        ))}
      </select>
      <button type="submit" class="secondary" disabled={into === ""}>
        Merge
      </button>
      <button type="button" class="secondary outline danger" onClick={remove}>
        Delete
      </button>
    </form>
  );
}

interface SightingsProps {
  collection: string;
  list: Sighting[] | null;
  onDeny: (sighting: string) => void;
}

function Sightings({ collection, list, onDeny }: SightingsProps) {
  return (
    <section aria-label="Sightings">
      <h2>Sightings</h2>
      {list?.length === 0 && <p class="hint">Not seen yet by any camera.</p>}
      <ul class="face-grid">
        {list?.map((sighting) => (
          <li key={sighting.id}>
            <a href={momentRoute(sighting.stream, sighting.producerTimestamp)}>
              <Crop
                collection={collection}
                sighting={sighting.crop ? sighting.id : null}
                label={`Seen on ${sighting.stream}`}
              />
              <strong>{when(sighting.producerTimestamp)}</strong>
              <small>on {sighting.stream}</small>
            </a>
            <button
              type="button"
              class="secondary outline"
              onClick={() => onDeny(sighting.id)}
              title="Takes this sighting away from the person, for good"
            >
              Not this person
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function lastSeenFirst(a: Person, b: Person): number {
  return (b.newest?.producerTimestamp ?? b.created) - (a.newest?.producerTimestamp ?? a.created);
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}
