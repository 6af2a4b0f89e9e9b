import type { ApiError } from "./api";

/** Why something of a page is missing, where something was asked for in vain. */
export function Problem({ problem }: { problem: ApiError | null }) {
  if (!problem) return null;
  return (
    <p class="problem" role="alert">
      {problem.message}
    </p>
  );
}
