import { livePlaylist } from "./api";
import { authorization, type Credentials } from "./auth";
import { Copyable } from "./Copyable";

interface Snippet {
  title: string;
  note: string;
  command: string;
}

/** Stands for the sign-in on screen; what is copied carries the real one. */
const MASK = "••••••••";

/** Ready commands that use one stream from outside the browser. */
export function Snippets({
  stream,
  credentials,
}: {
  stream: string;
  credentials: Credentials | null;
}) {
  const shown = snippets(stream, credentials && MASK);
  const copied = snippets(stream, authorization(credentials));
  return (
    <section class="snippets" aria-label="Commands for this stream">
      <h2>Use this stream elsewhere</h2>
      {shown.map((snippet, i) => (
        <details key={snippet.title} name="snippet">
          <summary>{snippet.title}</summary>
          <p>{snippet.note}</p>
          <Copyable text={snippet.command} copied={copied[i]?.command ?? snippet.command} />
        </details>
      ))}
    </section>
  );
}

function snippets(stream: string, header: string | null): Snippet[] {
  const origin = location.origin;
  const playlist = `${origin}${livePlaylist(stream)}`;
  const auth = header ? `Authorization: ${header}` : null;
  return [
    {
      title: "Watch with ffplay",
      note: auth
        ? "Copying includes your sign-in: paste it only where it may be seen."
        : "The service runs without sign-in.",
      command: ["ffplay -fflags nobuffer", auth && `  -headers '${auth}'`, `  '${playlist}'`]
        .filter(Boolean)
        .join(" \\\n"),
    },
    {
      title: "Get the playlist with curl",
      note: "The master playlist; the links in it work without a sign-in until they expire.",
      command: ["curl", auth && `  -H '${auth}'`, `  '${playlist}'`].filter(Boolean).join(" \\\n"),
    },
    {
      title: "AWS CLI",
      note: "Run it where the data directory is: the service wrote the credentials file at its first start.",
      command: [
        "export AWS_SHARED_CREDENTIALS_FILE=kinora-data/credentials AWS_DEFAULT_REGION=us-east-1",
        `aws --endpoint-url ${origin} kinesisvideo describe-stream --stream-name ${stream}`,
        `aws --endpoint-url ${origin} kinesis-video-archived-media get-hls-streaming-session-url --stream-name ${stream}`,
      ].join("\n"),
    },
    {
      title: "Send with kinora",
      note: "From a camera, a file, or any GStreamer pipeline; on the camera's machine.",
      command: `kinora produce rtsp://camera.local/stream --stream ${stream} --endpoint ${origin}`,
    },
    {
      title: "Send with GStreamer's kvssink",
      note: "An unmodified Kinesis Video Streams producer; its keys come from the environment.",
      command: [
        `CONTROL_PLANE_URI=${origin} AWS_DEFAULT_REGION=us-east-1 \\`,
        "gst-launch-1.0 v4l2src ! videoconvert ! x264enc tune=zerolatency key-int-max=60 bframes=0 \\",
        "  ! video/x-h264,profile=baseline ! h264parse \\",
        `  ! kvssink stream-name=${stream} storage-size=128`,
      ].join("\n"),
    },
  ];
}
