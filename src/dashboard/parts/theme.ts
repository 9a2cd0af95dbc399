/** Light or dark: as the system says, or as was chosen on this machine. */
import { useEffect, useState } from "preact/hooks";
import type { Theme } from "../port-map/colours.ts";

/** What can be chosen. */
export const THEME_CHOICES = ["system", "light", "dark"] as const;
export type ThemeChoice = (typeof THEME_CHOICES)[number];

const KEPT_AS = "ipshard-theme";
const dark = matchMedia("(prefers-color-scheme: dark)");
const listeners = new Set<() => void>();
let choice = keptChoice();
apply();
dark.addEventListener("change", tell);

/** What was chosen. */
export function themeChoice(): ThemeChoice {
  return choice;
}

/** Chooses, for this browser also later. */
export function chooseTheme(chosen: ThemeChoice): void {
  choice = chosen;
  try {
    localStorage.setItem(KEPT_AS, chosen);
  } catch {
    // Where nothing can be kept it holds until the page is left.
  }
  apply();
  tell();
}

/** What is shown now. */
export function useTheme(): Theme {
  const [, redraw] = useState(0);
  useEffect(() => {
    const listener = (): void => redraw((count) => count + 1);
    listeners.add(listener);
    return () => {
      listeners.delete(listener);
    };
  }, []);
  if (choice !== "system") return choice;
  return dark.matches ? "dark" : "light";
}

function tell(): void {
  for (const listener of listeners) listener();
}

function apply(): void {
  if (choice === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = choice;
}

function keptChoice(): ThemeChoice {
  try {
    const kept = localStorage.getItem(KEPT_AS);
    return THEME_CHOICES.find((each) => each === kept) ?? "system";
  } catch {
    return "system";
  }
}
