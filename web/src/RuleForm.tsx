import { useState } from "preact/hooks";
import type { NamedRule, Target, When } from "./ruleApi";

const WATCHED: [When["type"], string][] = [
  ["unknown", "an unknown face"],
  ["person", "a certain person"],
  ["face", "any face"],
  ["count", "many faces"],
  ["absence", "nobody for a while"],
];

/** The most receivers that the service lets a rule have. */
const MAX_TARGETS = 5;
/** Of a delivery, until the alert waits for somebody to try again. */
const MAX_ATTEMPTS = 1000;
const SECRET_BYTES = 16;

/** What most people want first. */
export function newRule(): NamedRule {
  return {
    name: "",
    enabled: true,
    streams: null,
    when: { type: "unknown" },
    region: null,
    schedule: null,
    clip: { beforeSeconds: 5, afterSeconds: 5 },
    targets: [],
    maxAttempts: 10,
  };
}

interface Props {
  rule: NamedRule;
  isNew: boolean;
  onSave: (rule: NamedRule) => void;
  onCancel: () => void;
}

/** Makes or changes a rule; what the form does not show stays as it is. */
export function RuleForm({ rule, isNew, onSave, onCancel }: Props) {
  const [draft, setDraft] = useState(rule);
  const change = (part: Partial<NamedRule>) => setDraft((before) => ({ ...before, ...part }));
  const setTarget = (at: number, target: Target | null) => {
    const targets = draft.targets.flatMap((one, i) => (i !== at ? [one] : target ? [target] : []));
    change({ targets });
  };
  return (
    <article class="details">
      <form
        class="rule-form"
        aria-label={isNew ? "New rule" : `The rule ${rule.name}`}
        onSubmit={(event) => {
          event.preventDefault();
          onSave(draft);
        }}
      >
        <h2>{isNew ? "New rule" : rule.name}</h2>
        <div class="fields">
          {isNew && (
            <label>
              Name
              <input
                required
                maxLength={64}
                pattern="[a-zA-Z0-9_.\-]+"
                title="Letters, digits, and . _ -"
                placeholder="unknown-face"
                value={draft.name}
                onInput={(event) => change({ name: event.currentTarget.value })}
              />
            </label>
          )}
          <label>
            Tell of
            <select
              value={draft.when.type}
              onChange={(event) => change({ when: fresh(event.currentTarget.value) })}
            >
              {WATCHED.map(([type, name]) => (
                <option key={type} value={type}>
                  {name}
                </option>
              ))}
            </select>
          </label>
          <WhenFields value={draft.when} onChange={(watched) => change({ when: watched })} />
          <Listed
            label="Streams"
            placeholder="all"
            value={draft.streams ?? []}
            onChange={(streams) => change({ streams: streams.length > 0 ? streams : null })}
          />
          <NumberField
            label="Clip: seconds before"
            value={draft.clip.beforeSeconds}
            onChange={(beforeSeconds) => change({ clip: { ...draft.clip, beforeSeconds } })}
          />
          <NumberField
            label="Seconds after"
            value={draft.clip.afterSeconds}
            onChange={(afterSeconds) => change({ clip: { ...draft.clip, afterSeconds } })}
          />
          {draft.targets.length > 0 && (
            <NumberField
              label="Attempts"
              least={1}
              most={MAX_ATTEMPTS}
              value={draft.maxAttempts}
              onChange={(maxAttempts) => change({ maxAttempts })}
            />
          )}
        </div>
        {draft.targets.map((target, at) => (
          <TargetFields
            // Receivers have no names; when one goes, the others are shown anew.
            key={`${at} of ${draft.targets.length}`}
            target={target}
            onChange={(changed) => setTarget(at, changed)}
          />
        ))}
        <div class="inline">
          <button
            type="button"
            class="small secondary outline"
            disabled={draft.targets.length >= MAX_TARGETS}
            onClick={() => change({ targets: [...draft.targets, webhook()] })}
          >
            Add a webhook
          </button>
          <button
            type="button"
            class="small secondary outline"
            disabled={draft.targets.length >= MAX_TARGETS}
            onClick={() => change({ targets: [...draft.targets, { type: "email", to: [] }] })}
          >
            Add an e-mail address
          </button>
        </div>
        {draft.targets.length === 0 && (
          <p class="hint">
            Without a receiver, alerts are told on this page and in GET /v1/events.
          </p>
        )}
        <div class="inline">
          <button type="submit">Save</button>
          <button type="button" class="secondary" onClick={onCancel}>
            Cancel
          </button>
        </div>
      </form>
    </article>
  );
}

interface WhenProps {
  value: When;
  onChange: (watched: When) => void;
}

/** What goes with what is watched for. */
function WhenFields({ value, onChange }: WhenProps) {
  const { type, count, windowSeconds, people } = value;
  return (
    <>
      {count !== undefined && (
        <label>
          How many
          <input
            type="number"
            required
            min={1}
            max={1000}
            value={count}
            onInput={(event) => onChange({ ...value, count: event.currentTarget.valueAsNumber })}
          />
        </label>
      )}
      {windowSeconds !== undefined && (
        <NumberField
          label={type === "count" ? "Within seconds" : "For seconds"}
          least={1}
          most={86_400}
          value={windowSeconds}
          onChange={(seconds) => onChange({ ...value, windowSeconds: seconds })}
        />
      )}
      {people !== undefined && (
        <Listed
          label="Who"
          placeholder={type === "person" ? "Anna, Ben" : "anybody"}
          required={type === "person"}
          value={people}
          onChange={(names) => onChange({ ...value, people: names })}
        />
      )}
    </>
  );
}

interface TargetProps {
  target: Target;
  onChange: (target: Target | null) => void;
}

function TargetFields({ target, onChange }: TargetProps) {
  return (
    <fieldset class="fields receiver">
      <legend>{target.type === "webhook" ? "Webhook" : "E-mail"}</legend>
      {target.type === "webhook" ? (
        <>
          <label>
            URL
            <input
              type="url"
              required
              placeholder="https://example.org/alerts"
              value={target.url}
              onInput={(event) => onChange({ ...target, url: event.currentTarget.value })}
            />
          </label>
          <label>
            Secret that signs what is sent
            <input
              required
              minLength={8}
              autocomplete="off"
              spellcheck={false}
              value={target.secret}
              onInput={(event) => onChange({ ...target, secret: event.currentTarget.value })}
            />
          </label>
          <label class="check">
            <input
              type="checkbox"
              checked={target.attachClip}
              onChange={(event) => onChange({ ...target, attachClip: event.currentTarget.checked })}
            />
            Send the clip along
          </label>
        </>
      ) : (
        <Listed
          label="Addresses"
          placeholder="anna@example.org, ben@example.org"
          required
          value={target.to}
          onChange={(to) => onChange({ ...target, to })}
        />
      )}
      <button type="button" class="small secondary outline danger" onClick={() => onChange(null)}>
        Remove
      </button>
    </fieldset>
  );
}

interface ListedProps {
  label: string;
  value: string[];
  placeholder: string;
  required?: boolean;
  onChange: (value: string[]) => void;
}

/** Names with commas between them. */
function Listed({ label, value, placeholder, required = false, onChange }: ListedProps) {
  const [text, setText] = useState(value.join(", "));
  return (
    <label>
      {label}
      <input
        placeholder={placeholder}
        required={required}
        value={text}
        onInput={(event) => {
          const typed = event.currentTarget.value;
          setText(typed);
          const names = typed.split(",").map((name) => name.trim());
          onChange(names.filter((name) => name !== ""));
        }}
      />
    </label>
  );
}

interface NumberProps {
  label: string;
  value: number;
  least?: number;
  most?: number;
  onChange: (value: number) => void;
}

function NumberField({ label, value, least = 0, most = 120, onChange }: NumberProps) {
  return (
    <label>
      {label}
      <input
        type="number"
        required
        min={least}
        max={most}
        value={value}
        onInput={(event) => onChange(event.currentTarget.valueAsNumber)}
      />
    </label>
  );
}

/** A choice with what goes with it. */
function fresh(type: string): When {
  switch (type) {
    case "person":
      return { type, people: [] };
    case "count":
      return { type, count: 3, windowSeconds: 60, people: [] };
    case "absence":
      return { type, windowSeconds: 3600, people: [] };
    case "face":
      return { type };
    default:
      return { type: "unknown" };
  }
}

function webhook(): Target {
  const bytes = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  const secret = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { type: "webhook", url: "", secret, attachClip: false };
}
