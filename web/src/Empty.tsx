import { Copyable } from "./Copyable";

/** The first page of a fresh installation: how to send the first video. */
export function Empty() {
  const origin = location.origin;
  const produce = (source: string, stream: string) =>
    [
      `kinora produce ${source} --stream ${stream} \\`,
      `  --endpoint ${origin} --credentials kinora-data/credentials`,
    ].join("\n");
  return (
    <main class="alone">
      <article>
        <h1>No streams yet</h1>
        <p>Send a test picture; run this where the service runs:</p>
        <Copyable text={produce("test://", "test")} />
        <p>Or a camera, wherever it is, with a copy of the credentials file:</p>
        <Copyable text={produce("rtsp://camera.local/stream", "door")} />
        <p>
          Any Kinesis Video Streams producer works too: point it at <code>{origin}</code> with the
          keys from the <code>credentials</code> file in the data directory. This page shows the
          stream as soon as it exists.
        </p>
      </article>
    </main>
  );
}
