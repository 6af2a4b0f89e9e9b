import { alertRoute, rulesRoute } from "./route";

/** The two views of the page about alerts. */
export function AlertTabs({ view }: { view: "alerts" | "rules" }) {
  return (
    <nav aria-label="View">
      <a href={alertRoute()} aria-current={view === "alerts" ? "page" : undefined}>
        Alerts
      </a>
      <a href={rulesRoute} aria-current={view === "rules" ? "page" : undefined}>
        Rules
      </a>
    </nav>
  );
}
