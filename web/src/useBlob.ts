import { useEffect, useState } from "preact/hooks";
import { ApiError, getFile } from "./api";
import { useSigned } from "./signed";

export interface Blobbed {
  /** Address of what was fetched, for `src`. */
  url: string | null;
  problem: ApiError | null;
}

/**
 * Fetches what `src` alone cannot, because the browser would not send the sign-in. A path of null
 * fetches nothing; `retryMs` asks again after a failure.
 */
export function useBlob(path: string | null, retryMs?: number): Blobbed {
  const { credentials } = useSigned();
  const [blobbed, setBlobbed] = useState<Blobbed>({ url: null, problem: null });
  useEffect(() => {
    let closed = false;
    let url: string | null = null;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const load = async () => {
      if (!path) return;
      try {
        const blob = await getFile(path, credentials);
        if (closed) return;
        url = URL.createObjectURL(blob);
        setBlobbed({ url, problem: null });
      } catch (error) {
        if (closed) return;
        const problem = error instanceof ApiError ? error : new ApiError("refused", String(error));
        setBlobbed({ url: null, problem });
        if (retryMs) timer = setTimeout(load, retryMs);
      }
    };
    setBlobbed({ url: null, problem: null });
    void load();
    return () => {
      closed = true;
      clearTimeout(timer);
      if (url) URL.revokeObjectURL(url);
    };
  }, [path, credentials, retryMs]);
  return blobbed;
}
