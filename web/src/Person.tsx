import { useState } from "preact/hooks";
import type { ApiError } from "./api";
import { Crop } from "./Crop";
import { AnotherPicture } from "./Enrol";
import {
  deletePerson,
  denySighting,
  getPerson,
  listPeople,
  listSightings,
  mergePerson,
  type Person,
  personLabel,
  renamePerson,
  splitPerson,
} from "./faceApi";
import { counted, times } from "./format";
import { Problem } from "./Problem";
import { peopleRoute } from "./route";
import { Sightings } from "./Sightings";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";

const POLL_MS = 3_000;

/** One person: the name, the sightings, and what can be said about them. */
export function Somebody({ collection, id }: { collection: string; id: string }) {
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
  const act = async (what: Promise<unknown>) => {
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
  const deny = async (sighting: string) => {
    const other = denySighting(collection, id, sighting, credentials);
    // Nothing is left of somebody unknown who was seen only then.
    if (value.known || value.sightings > 1) return act(other);
    return leave(other);
  };
  const split = (chosen: string[]) => leave(splitPerson(collection, id, chosen, credentials));
  /** Goes on with somebody else. */
  const leave = async (to: Promise<Person>) => {
    try {
      location.hash = peopleRoute(collection, (await to).id);
    } catch (error) {
      setFailed(error as ApiError);
    }
  };
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
              {counted(value.faces, "enrolled face")}
            </small>
          </div>
        </div>
        <Problem problem={failed ?? person.problem} />
        <NameForm
          person={value}
          onName={(name) => act(renamePerson(collection, id, name, credentials))}
        />
        <MergeForm collection={collection} person={value} onFailure={setFailed} />
        <AnotherPicture collection={collection} person={value} onEnrolled={person.reload} />
      </article>
      <Sightings
        collection={collection}
        person={value}
        list={sightings.value}
        onDeny={(sighting) => void deny(sighting)}
        onSplit={(chosen) => void split(chosen)}
      />
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
