import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { Credentials } from "./auth";

/** Who looks at the page, for what is deep inside of it. */
export interface Signed {
  credentials: Credentials | null;
  /** The service does not accept the sign-in any longer. */
  onSignedOut: () => void;
}

export const SignedContext = createContext<Signed>({ credentials: null, onSignedOut: () => {} });

export function useSigned(): Signed {
  return useContext(SignedContext);
}
