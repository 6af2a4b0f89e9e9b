import { useState } from "preact/hooks";
import type { ApiError } from "./api";
import { Copyable } from "./Copyable";
import { listProcessors, type Processor, setProcessor } from "./faceApi";
import { seconds } from "./format";
import { Problem } from "./Problem";
import { liveRoute } from "./route";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";
import { useStreams } from "./useStreams";

const POLL_MS = 2_000;

/** Who looks for faces where, and how far behind. Of one stream, or of all. */
export function Processors({ stream }: { stream?: string }) {
  const { credentials } = useSigned();
  const [failed, setFailed] = useState<ApiError | null>(null);
  const { value, problem, reload } = usePolled(
    () => listProcessors(credentials),
    [credentials],
    POLL_MS,
  );
  const shown = value?.filter((one) => !stream || one.stream === stream);
  const act = async (one: Processor, what: "start" | "stop") => {
    try {
      await setProcessor(one.name, what, credentials);
      setFailed(null);
    } catch (error) {
      setFailed(error as ApiError);
    }
    reload();
  };
  return (
    <>
      <Problem problem={failed ?? problem} />
      {shown?.length === 0 && <NoProcessors stream={stream} />}
      <ul class="processors">
        {shown?.map((one) => (
          <li key={one.name} data-status={one.status}>
            <span class={one.status === "RUNNING" ? "dot running" : "dot"} aria-hidden="true" />
            <span class="name">
              <strong>{one.name}</strong>
              {!stream && (
                <>
                  {" "}
                  looks at <a href={liveRoute(one.stream)}>{one.stream}</a>
                </>
              )}
              <small>{describe(one)}</small>
            </span>
            <Act processor={one} onAct={(what) => void act(one, what)} />
          </li>
        ))}
      </ul>
    </>
  );
}

export function ProcessorsPage() {
  return (
    <main class="page">
      <h1>Stream processors</h1>
      <p class="hint">
        A stream processor looks for faces in a video stream, compares them with a collection of
        people, and writes what it finds to a record stream.
      </p>
      <Processors />
    </main>
  );
}

interface ActProps {
  processor: Processor;
  onAct: (what: "start" | "stop") => void;
}

function Act({ processor, onAct }: ActProps) {
  const { status, name } = processor;
  const running = status === "RUNNING" || status === "STARTING";
  return (
    <button
      type="button"
      class="secondary outline"
      disabled={status === "STOPPING"}
      aria-label={`${running ? "Stop" : "Start"} ${name}`}
      onClick={() => onAct(running ? "stop" : "start")}
    >
      {running ? "Stop" : "Start"}
    </button>
  );
}

function describe(one: Processor): string {
  const parts = [one.status.toLowerCase()];
  if (one.status === "RUNNING" && one.lagSeconds !== null) {
    parts.push(`${seconds(one.lagSeconds)} behind`);
  }
  if (one.frames.analysed > 0) parts.push(`${one.frames.analysed} frames looked at`);
  if (one.frames.skipped > 0) parts.push(`${one.frames.skipped} skipped`);
  if (one.frames.failed > 0) parts.push(`${one.frames.failed} failed`);
  parts.push(`faces of “${one.collection}”, findings to “${one.output}”`);
  if (one.message) parts.push(one.message);
  return parts.join(" · ");
}

/** Where no stream is there to name. */
const ANY_STREAM = "arn:aws:kinesisvideo:us-east-1:ACCOUNT:stream/STREAM/TIME";

function NoProcessors({ stream }: { stream: string | undefined }) {
  const { credentials } = useSigned();
  const { list } = useStreams(credentials);
  const seen = list?.streams.find(({ name }) => !stream || name === stream);
  const input = seen?.arn ?? ANY_STREAM;
  const [, , , region, account] = input.split(":");
  const output = `arn:aws:kinesis:${region}:${account}:stream/findings`;
  const aws = `aws --endpoint-url ${location.origin}`;
  const command = [
    `export AWS_SHARED_CREDENTIALS_FILE=kinora-data/credentials AWS_DEFAULT_REGION=${region}`,
    `${aws} kinesis create-stream --stream-name findings --shard-count 1`,
    `${aws} rekognition create-collection --collection-id people`,
    `${aws} rekognition create-stream-processor --name faces \\`,
    `  --input 'KinesisVideoStream={Arn=${input}}' \\`,
    `  --stream-processor-output 'KinesisDataStream={Arn=${output}}' \\`,
    `  --settings 'FaceSearch={CollectionId=people}' \\`,
    `  --role-arn arn:aws:iam::${account}:role/any`,
    `${aws} rekognition start-stream-processor --name faces`,
  ].join("\n");
  return (
    <>
      <p class="hint">
        Nobody looks for faces {stream ? "on this stream" : "yet"}. These commands of the AWS CLI
        make a record stream for findings, a collection of people, and a stream processor, and start
        it; run them where the data directory is:
      </p>
      <Copyable text={command} />
    </>
  );
}
