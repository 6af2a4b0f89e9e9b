import { useState } from "preact/hooks";
import type { ApiError } from "./api";
import { Crop } from "./Crop";
import { Elsewhere } from "./Elsewhere";
import { EnrolSomebody } from "./Enrol";
import { createCollection, listCollections, listPeople, type Person, personLabel } from "./faceApi";
import { times, when } from "./format";
import { Somebody } from "./Person";
import { Problem } from "./Problem";
import { peopleRoute } from "./route";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";

const POLL_MS = 3_000;

interface Props {
  collection: string | null;
  person: string | null;
  sighting: string | null;
}

/** Who was seen: those with a name, and those who wait for one. */
export function People({ collection, person, sighting }: Props) {
  const { credentials } = useSigned();
  const { value, problem, reload } = usePolled(
    () => listCollections(credentials),
    [credentials],
    POLL_MS,
  );
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
      {value?.length === 0 && <NoCollection onCreated={reload} />}
      {chosen && !person && <Everybody key={chosen} collection={chosen} />}
      {chosen && person && !sighting && <Somebody key={person} collection={chosen} id={person} />}
      {chosen && person && sighting && (
        <Elsewhere key={sighting} collection={chosen} person={person} sighting={sighting} />
      )}
    </main>
  );
}

/** What the first collection is called, unless somebody says otherwise. */
const FIRST_COLLECTION = "people";

function NoCollection({ onCreated }: { onCreated: () => void }) {
  const { credentials } = useSigned();
  const [name, setName] = useState(FIRST_COLLECTION);
  const [failed, setFailed] = useState<ApiError | null>(null);
  const create = async () => {
    try {
      await createCollection(name, credentials);
      onCreated();
    } catch (error) {
      setFailed(error as ApiError);
    }
  };
  return (
    <>
      <p class="hint">
        There is no collection of faces yet. Create one and name it in a stream processor: whoever
        passes the camera then appears here.
      </p>
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          void create();
        }}
      >
        <input
          aria-label="Name of the collection"
          required
          maxLength={255}
          pattern="[a-zA-Z0-9_.\-]+"
          title="Letters, digits, and . _ -"
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
        <button type="submit">Create</button>
      </form>
      <Problem problem={failed} />
    </>
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
        hint="Nobody has a name yet. Choose an unknown face to give it one, or enrol a picture."
        people={known}
        collection={collection}
      />
      <EnrolSomebody collection={collection} />
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

function lastSeenFirst(a: Person, b: Person): number {
  return (b.newest?.producerTimestamp ?? b.created) - (a.newest?.producerTimestamp ?? a.created);
}
