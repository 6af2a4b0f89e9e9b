import { Copyable } from "./Copyable";

/** The first page of a fresh installation: how to send the first video. */
export function Empty() {
  const origin = location.origin;
  return (
    <main class="alone">
      <article>
        <h1>No streams yet</h1>
        <p>Send a test picture; run this where the service runs:</p>
        <Copyable text={`kinora produce test:// --stream test --endpoint ${origin}`} />
        <p>Or a camera, wherever it is:</p>
        <Copyable
          text={`kinora produce rtsp://camera.local/stream --stream door --endpoint ${origin}`}
        />
        <p>
          Any Kinesis Video Streams producer works too: point it at <code>{origin}</code> with the
          keys from the <code>credentials</code> file in the data directory. This page shows the
          stream as soon as it exists.
        </p>
      </article>
    </main>
  );
}
