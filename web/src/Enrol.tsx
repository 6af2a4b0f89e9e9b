import { useState } from "preact/hooks";
import type { ApiError } from "./api";
import { enrolFace, enrolPerson, type Person } from "./faceApi";
import { Problem } from "./Problem";
import { peopleRoute } from "./route";
import { useSigned } from "./signed";

const PICTURES = "image/jpeg,image/png";

/** Makes somebody known by a name and a picture. */
export function EnrolSomebody({ collection }: { collection: string }) {
  const { credentials } = useSigned();
  const [name, setName] = useState("");
  const enrol = async (picture: File) => {
    const person = await enrolPerson(collection, name.trim(), picture, credentials);
    location.hash = peopleRoute(collection, person.id);
  };
  return (
    <section aria-label="Enrol somebody">
      <h2>Enrol somebody</h2>
      <p class="hint">By a picture of one face, a JPEG or PNG of at most 5 MiB.</p>
      <PictureForm action="Enrol" onPicture={enrol}>
        <input
          aria-label="Name"
          placeholder="Who is it?"
          required
          maxLength={128}
          value={name}
          onInput={(event) => setName(event.currentTarget.value)}
        />
      </PictureForm>
    </section>
  );
}

interface AnotherProps {
  collection: string;
  person: Person;
  onEnrolled: () => void;
}

/** Adds a picture by which somebody is known. */
export function AnotherPicture({ collection, person, onEnrolled }: AnotherProps) {
  const { credentials } = useSigned();
  const enrol = async (picture: File) => {
    await enrolFace(collection, person.id, picture, credentials);
    onEnrolled();
  };
  return <PictureForm action="Add picture" onPicture={enrol} />;
}

interface FormProps {
  action: string;
  onPicture: (picture: File) => Promise<void>;
  children?: preact.ComponentChildren;
}

function PictureForm({ action, onPicture, children }: FormProps) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<ApiError | null>(null);
  const submit = async (form: HTMLFormElement) => {
    const picture = new FormData(form).get("picture");
    if (!(picture instanceof File)) return;
    setBusy(true);
    try {
      await onPicture(picture);
      setFailed(null);
      form.reset();
    } catch (error) {
      setFailed(error as ApiError);
    }
    setBusy(false);
  };
  return (
    <>
      <form
        class="inline"
        onSubmit={(event) => {
          event.preventDefault();
          void submit(event.currentTarget);
        }}
      >
        {children}
        <input type="file" name="picture" aria-label="Picture" accept={PICTURES} required />
        <button type="submit" class="secondary" aria-busy={busy} disabled={busy}>
          {action}
        </button>
      </form>
      <Problem problem={failed} />
    </>
  );
}
