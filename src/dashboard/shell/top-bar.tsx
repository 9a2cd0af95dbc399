/** What is at the top of every view: where one is, who one is, and in which light. */
import { useState } from "preact/hooks";
import { chooseTheme, THEME_CHOICES, themeChoice } from "../parts/theme.ts";
import type { Session } from "../session/session.ts";
import { Brand } from "../session/sign-in.tsx";
import { fragmentOf, POOL_VIEWS, type Route, TITLES } from "./route.ts";

interface TopBarProps {
  readonly route: Route;
  readonly pool: string | null;
  readonly pools: readonly string[];
  readonly session: Session;
  readonly leave: () => void;
}

/** The bar. */
export function TopBar({ route, pool, pools, session, leave }: TopBarProps) {
  const view = "pool" in route ? route.view : "fleet";
  return (
    <header class="top">
      <div class="top-row">
        <span class="name">
          <Brand /> <span>ipshard</span>
        </span>
        <label class="inline-field">
          <span>Pool</span>
          <select
            value={pool ?? ""}
            onChange={(event) => {
              location.hash = fragmentOf({ view, pool: event.currentTarget.value, ip: null });
            }}
          >
            {pool !== null && !pools.includes(pool) && <option value={pool}>{pool}</option>}
            {pools.map((name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <span class="grow" />
        <ThemeChoice />
        <span class="who-am-i" title={`Signed in as ${session.subject}`}>
          {session.subject}
          {session.role === "viewer" && <span class="tag">read only</span>}
        </span>
        <button type="button" class="quiet" onClick={leave}>
          Sign out
        </button>
      </div>
      <nav aria-label="Views">
        {POOL_VIEWS.map((each) => (
          <a
            key={each}
            href={fragmentOf({ view: each, pool, ip: null })}
            aria-current={"pool" in route && route.view === each ? "page" : undefined}
          >
            {TITLES[each]}
          </a>
        ))}
        <a href="#/who" aria-current={route.view === "who" ? "page" : undefined}>
          {TITLES.who}
        </a>
        <a href="#/plan" aria-current={route.view === "plan" ? "page" : undefined}>
          {TITLES.plan}
        </a>
      </nav>
    </header>
  );
}

function ThemeChoice() {
  const [choice, setChoice] = useState(themeChoice);
  return (
    <label class="inline-field">
      <span>Theme</span>
      <select
        value={choice}
        onChange={(event) => {
          const chosen = THEME_CHOICES.find((each) => each === event.currentTarget.value) ?? "system";
          setChoice(chosen);
          chooseTheme(chosen);
        }}
      >
        {THEME_CHOICES.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </label>
  );
}
