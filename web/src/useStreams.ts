import { type ApiError, listStreams, type StreamList } from "./api";
import type { Credentials } from "./auth";
import { usePolled } from "./usePolled";

const POLL_MS = 2_000;

/** The list of streams, asked for every two seconds while the page is looked at. */
export function useStreams(credentials: Credentials | null): {
  list: StreamList | null;
  problem: ApiError | null;
} {
  const { value, problem } = usePolled(() => listStreams(credentials), [credentials], POLL_MS);
  return { list: value, problem };
}
