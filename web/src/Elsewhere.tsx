import { Crop } from "./Crop";
import { listPeople, personLabel, searchFace } from "./faceApi";
import { Problem } from "./Problem";
import { peopleRoute } from "./route";
import { SightingLink } from "./Sightings";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";

const POLL_MS = 15_000;

interface Props {
  collection: string;
  person: string;
  sighting: string;
}

/** Where else a face was: all sightings that look like one, whoever they are taken for. */
export function Elsewhere({ collection, person, sighting }: Props) {
  const { credentials } = useSigned();
  const { value, problem } = usePolled(
    async () => {
      const found = await searchFace(collection, sighting, credentials);
      const people = await listPeople(collection, credentials);
      return { found, people: new Map(people.map((one) => [one.id, one])) };
    },
    [collection, sighting, credentials],
    POLL_MS,
  );
  if (!value) return problem ? <Problem problem={problem} /> : <p aria-busy="true">Searching …</p>;
  const name = (id: string) => {
    const who = value.people.get(id);
    return who ? personLabel(who) : "Somebody";
  };
  return (
    <section aria-label="Where else">
      <div class="heading">
        <h2 class="sought">
          <Crop collection={collection} sighting={sighting} label="The face that is looked for" />
          Where else this face was <small>{value.found.length}</small>
        </h2>
        <a href={peopleRoute(collection, person)}>Back to {name(person)}</a>
      </div>
      <Problem problem={problem} />
      {value.found.length === 0 && <p class="hint">Nowhere else, as far as sightings are kept.</p>}
      <ul class="face-grid">
        {value.found.map((one) => (
          <li key={one.id}>
            <SightingLink collection={collection} sighting={one} />
            <a class="ask" href={peopleRoute(collection, one.personId)}>
              {name(one.personId)}
            </a>
            <small>{Math.round(one.similarity)} % alike</small>
          </li>
        ))}
      </ul>
    </section>
  );
}
