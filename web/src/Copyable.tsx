import { useState } from "preact/hooks";

const COPIED_MS = 1_500;

interface Props {
  /** What is shown. */
  text: string;
  /** What is copied, when it is not what is shown: secrets are shown masked. */
  copied?: string;
}

/** A command with a button that copies it. */
export function Copyable({ text, copied = text }: Props) {
  const [label, setLabel] = useState("Copy");
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(copied);
      setLabel("Copied");
    } catch {
      // No clipboard outside https and localhost: the text can still be selected.
      setLabel("Select it");
    }
    setTimeout(() => setLabel("Copy"), COPIED_MS);
  };
  return (
    <div class="copyable">
      <pre>
        <code>{text}</code>
      </pre>
      <button type="button" class="secondary outline" onClick={copy}>
        {label}
      </button>
    </div>
  );
}
