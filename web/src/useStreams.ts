import { useEffect, useState } from "preact/hooks";
import { ApiError, listStreams, type StreamList } from "./api";
import type { Credentials } from "./auth";

const POLL_MS = 2_000;

interface Polled {
  /** The last good answer; stays on screen while the service does not answer. */
  list: StreamList | null;
  problem: ApiError | null;
}

/** The list of streams, asked for every two seconds while the page is looked at. */
export function useStreams(credentials: Credentials | null): Polled {
  const [polled, setPolled] = useState<Polled>({ list: null, problem: null });
  useEffect(() => {
    let closed = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async () => {
      clearTimeout(timer);
      try {
        const list = await listStreams(credentials);
        if (!closed) setPolled({ list, problem: null });
      } catch (error) {
        const problem = error instanceof ApiError ? error : new ApiError("refused", String(error));
        if (!closed) setPolled((before) => ({ list: before.list, problem }));
      }
      if (!closed && !document.hidden) timer = setTimeout(poll, POLL_MS);
    };
    const onVisible = () => {
      if (!document.hidden) void poll();
    };
    setPolled({ list: null, problem: null });
    document.addEventListener("visibilitychange", onVisible);
    void poll();
    return () => {
      closed = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, [credentials]);
  return polled;
}
