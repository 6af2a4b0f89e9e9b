import { useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "./api";

export interface Polled<T> {
  /** The last good answer; stays while the service does not answer. */
  value: T | null;
  problem: ApiError | null;
  /** Asks now. */
  reload: () => void;
}

/**
 * Asks again and again while the page is looked at. Answers of another `key` are never shown: what
 * is asked changed.
 */
export function usePolled<T>(
  load: () => Promise<T>,
  key: readonly unknown[],
  intervalMs: number,
): Polled<T> {
  const [polled, setPolled] = useState<Omit<Polled<T>, "reload">>({ value: null, problem: null });
  const reload = useRef(() => {});
  useEffect(() => {
    let closed = false;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const poll = async () => {
      clearTimeout(timer);
      try {
        const value = await load();
        if (!closed) setPolled({ value, problem: null });
      } catch (error) {
        const problem = error instanceof ApiError ? error : new ApiError("refused", String(error));
        if (!closed) setPolled((before) => ({ value: before.value, problem }));
      }
      if (!closed && !document.hidden) timer = setTimeout(poll, intervalMs);
    };
    const onVisible = () => {
      if (!document.hidden) void poll();
    };
    setPolled({ value: null, problem: null });
    document.addEventListener("visibilitychange", onVisible);
    reload.current = () => void poll();
    void poll();
    return () => {
      closed = true;
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }, key);
  return { ...polled, reload: () => reload.current() };
}
