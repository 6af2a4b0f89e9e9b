import { cropPath } from "./faceApi";
import { useBlob } from "./useBlob";

interface Props {
  collection: string | null;
  sighting: string | null;
  /** Whose face it is, for those who do not see it. */
  label: string;
}

/** The picture of a sighting's face, or a stand-in where there is none. */
export function Crop({ collection, sighting, label }: Props) {
  const { url } = useBlob(collection && sighting ? cropPath(collection, sighting) : null);
  if (url) return <img class="crop" src={url} alt={label} />;
  return (
    <svg class="crop" viewBox="0 0 24 24" role="img" aria-label={`${label}, no picture`}>
      <circle cx="12" cy="9.5" r="4" fill="currentColor" />
      <path d="M4 22c.6-4.6 4-7 8-7s7.4 2.4 8 7z" fill="currentColor" />
    </svg>
  );
}
