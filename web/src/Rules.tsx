import { useState } from "preact/hooks";
import { AlertTabs } from "./AlertTabs";
import type { ApiError } from "./api";
import { alertTitle } from "./faceApi";
import { counted, span, when } from "./format";
import { Problem } from "./Problem";
import { newRule, RuleForm } from "./RuleForm";
import {
  deleteRule,
  getDeadLetters,
  listRules,
  type NamedRule,
  putRule,
  type Rule,
  restoreDeadLetters,
  type Target,
} from "./ruleApi";
import { useSigned } from "./signed";
import { usePolled } from "./usePolled";

const POLL_MS = 3_000;

/** What is watched for, and who is told of it. */
export function Rules() {
  const { credentials } = useSigned();
  const { value, problem, reload } = usePolled(
    () => listRules(credentials),
    [credentials],
    POLL_MS,
  );
  const [edited, setEdited] = useState<NamedRule | null>(null);
  const [failed, setFailed] = useState<ApiError | null>(null);
  /** Whether it was done. */
  const act = async (what: Promise<void>): Promise<boolean> => {
    try {
      await what;
      setFailed(null);
      reload();
      return true;
    } catch (error) {
      setFailed(error as ApiError);
      return false;
    }
  };
  const save = async (rule: NamedRule) => {
    if (await act(putRule(rule, credentials))) setEdited(null);
  };
  const remove = (rule: NamedRule) => {
    const sure = confirm(`Delete the rule “${rule.name}”, and what it has not delivered yet?`);
    if (sure) void act(deleteRule(rule.name, credentials));
  };
  const isNew = edited !== null && !value?.some((rule) => rule.name === edited.name);
  return (
    <main class="page">
      <div class="heading">
        <h1>Alerts</h1>
        <AlertTabs view="rules" />
      </div>
      <Problem problem={failed ?? problem} />
      {!value && !problem && <p aria-busy="true">Loading …</p>}
      {value?.length === 0 && !edited && (
        <p class="hint">
          No rules yet. A rule says when there is an alert, such as for a face that nobody has
          named, and who is told: a webhook, an e-mail address, or just this page.
        </p>
      )}
      {edited && (
        <RuleForm
          key={isNew ? "" : edited.name}
          rule={edited}
          isNew={isNew}
          onSave={(rule) => void save(rule)}
          onCancel={() => {
            setEdited(null);
            setFailed(null);
          }}
        />
      )}
      {value && !edited && (
        <button type="button" class="small add" onClick={() => setEdited(newRule())}>
          New rule
        </button>
      )}
      <ul class="rules" aria-label="Rules">
        {value?.map((rule) => (
          <li key={rule.name}>
            <RuleLine
              rule={rule}
              onSwitch={(enabled) => void act(putRule({ ...rule, enabled }, credentials))}
              onEdit={() => {
                setEdited(rule);
                scrollTo({ top: 0 });
              }}
              onDelete={() => remove(rule)}
            />
            {rule.targets.length > 0 && <Undelivered rule={rule.name} />}
          </li>
        ))}
      </ul>
    </main>
  );
}

interface LineProps {
  rule: NamedRule;
  onSwitch: (enabled: boolean) => void;
  onEdit: () => void;
  onDelete: () => void;
}

function RuleLine({ rule, onSwitch, onEdit, onDelete }: LineProps) {
  return (
    <div class="rule">
      <input
        type="checkbox"
        role="switch"
        checked={rule.enabled}
        aria-checked={rule.enabled}
        aria-label={`${rule.name} is on`}
        onChange={(event) => onSwitch(event.currentTarget.checked)}
      />
      <div class="name">
        <strong>{rule.name}</strong>
        <small>
          {told(rule)} ·{" "}
          {rule.targets.length > 0 ? rule.targets.map(receiver).join(", ") : "told here"}
        </small>
      </div>
      <button type="button" class="small secondary outline" onClick={onEdit}>
        Edit
      </button>
      <button type="button" class="small secondary outline danger" onClick={onDelete}>
        Delete
      </button>
    </div>
  );
}

/** What no receiver took in all attempts. */
function Undelivered({ rule }: { rule: string }) {
  const { credentials } = useSigned();
  const [failed, setFailed] = useState<ApiError | null>(null);
  const { value, reload } = usePolled(
    () => getDeadLetters(rule, credentials),
    [rule, credentials],
    POLL_MS,
  );
  const restore = async () => {
    try {
      await restoreDeadLetters(rule, credentials);
      setFailed(null);
    } catch (error) {
      setFailed(error as ApiError);
    }
    reload();
  };
  if (!value || (value.count === 0 && value.waiting === 0)) return null;
  if (value.count === 0) {
    return (
      <p class="undelivered hint">{counted(value.waiting, "alert")} on the way to the receiver</p>
    );
  }
  return (
    <div class="undelivered">
      <details>
        <summary>{counted(value.count, "alert")} could not be delivered</summary>
        <ul>
          {value.alerts.map((alert) => (
            <li key={alert.Id}>
              {alertTitle(alert)} on {alert.Stream}, {when(alert.Time)}
            </li>
          ))}
          {value.count > value.alerts.length && (
            <li>and {value.count - value.alerts.length} more</li>
          )}
        </ul>
      </details>
      <button type="button" class="small secondary" onClick={() => void restore()}>
        Try again
      </button>
      <Problem problem={failed} />
    </div>
  );
}

/** What a rule watches for, in words. */
function told({ when: watched, streams }: Rule): string {
  const where = streams ? ` on ${streams.join(", ")}` : " on any stream";
  const people = watched.people?.join(", ") ?? "";
  const within = span(watched.windowSeconds ?? 0);
  switch (watched.type) {
    case "unknown":
      return `an unknown face${where}`;
    case "face":
      return `any face${where}`;
    case "person":
      return `${people}${where}`;
    case "count":
      return `${watched.count} faces within ${within}${where}${people && ` (${people})`}`;
    case "absence":
      return `${people || "nobody"} ${people ? "not seen" : "seen"} for ${within}${where}`;
  }
}

function receiver(target: Target): string {
  return target.type === "webhook" ? target.url : target.to.join(", ");
}
