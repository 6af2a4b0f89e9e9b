import { useState } from "preact/hooks";
import { Crop } from "./Crop";
import type { Person, Sighting } from "./faceApi";
import { counted, when } from "./format";
import { momentRoute, peopleRoute } from "./route";

interface Props {
  collection: string;
  person: Person;
  list: Sighting[] | null;
  onDeny: (sighting: string) => void;
  onSplit: (sightings: string[]) => void;
}

/** When and where somebody was seen, newest first. */
export function Sightings({ collection, person, list, onDeny, onSplit }: Props) {
  const [marked, setMarked] = useState<ReadonlySet<string>>(new Set());
  const chosen = list?.filter(({ id }) => marked.has(id)).map(({ id }) => id) ?? [];
  const mark = (id: string, on: boolean) => {
    const next = new Set(marked);
    if (on) next.add(id);
    else next.delete(id);
    setMarked(next);
  };
  return (
    <section aria-label="Sightings">
      <div class="heading">
        <h2>Sightings</h2>
        {chosen.length === 0 && list && list.length > 1 && (
          <small>Choose those of somebody else to make another person of them.</small>
        )}
        {chosen.length > 0 && (
          <button type="button" class="small secondary" onClick={() => onSplit(chosen)}>
            {counted(chosen.length, "sighting")} of somebody else: split
          </button>
        )}
      </div>
      {list?.length === 0 && <p class="hint">Not seen yet by any camera.</p>}
      <ul class="face-grid">
        {list?.map((sighting) => (
          <li key={sighting.id}>
            <SightingLink collection={collection} sighting={sighting} />
            <a class="ask" href={peopleRoute(collection, person.id, sighting.id)}>
              Where else?
            </a>
            {(list.length > 1 || marked.size > 0) && (
              <label class="check">
                <input
                  type="checkbox"
                  checked={marked.has(sighting.id)}
                  onChange={(event) => mark(sighting.id, event.currentTarget.checked)}
                />
                Choose
              </label>
            )}
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
      {list && list.length < person.sightings && (
        <p class="hint">
          The newest {list.length} of {person.sightings} are shown.
        </p>
      )}
    </section>
  );
}

interface LinkProps {
  collection: string;
  sighting: Sighting;
}

/** A sighting's picture and place, which lead to the recording. */
export function SightingLink({ collection, sighting }: LinkProps) {
  return (
    <a
      href={momentRoute(sighting.stream, sighting.producerTimestamp)}
      title="Watch it in the archive"
    >
      <Crop
        collection={collection}
        sighting={sighting.crop ? sighting.id : null}
        label={`Seen on ${sighting.stream}`}
      />
      <strong>{when(sighting.producerTimestamp)}</strong>
      <small>on {sighting.stream}</small>
    </a>
  );
}
