/** Small things that several views are made of. */
import type { ComponentChildren } from "preact";
import type { Level } from "./level.ts";
import { percent } from "./words.ts";

const SIGNS: Readonly<Record<Level, string>> = { good: "●", note: "◐", short: "▲", bad: "■" };

/** A state in a word, with a sign that does not need colours. */
export function Mark({ level, children }: { readonly level: Level; readonly children: ComponentChildren }) {
  return (
    <span class={`mark ${level}`}>
      <span aria-hidden="true">{SIGNS[level]}</span> {children}
    </span>
  );
}

interface BarProps {
  /** Of the whole; null where it is not known. */
  readonly part: number | null;
  readonly label: string;
  readonly level?: Level;
}

/** How much of a whole is taken, as a bar with its number beside it. */
export function Bar({ part, label, level = "good" }: BarProps) {
  if (part === null) return <span class="faint">not told</span>;
  const share = Math.min(1, Math.max(0, part));
  return (
    <span class={`bar ${level}`} title={label}>
      <span class="bar-track" aria-hidden="true">
        <span class="bar-fill" style={{ width: `${share * 100}%` }} />
      </span>
      <span class="bar-number">{percent(share)}</span>
    </span>
  );
}

/** A figure with what it is of. */
export function Figure({
  title,
  value,
  note,
  level,
}: {
  readonly title: string;
  readonly value: ComponentChildren;
  readonly note?: ComponentChildren;
  readonly level?: Level;
}) {
  return (
    <div class={`figure ${level ?? ""}`}>
      <dt>{title}</dt>
      <dd>
        <strong>{value}</strong>
        {note !== undefined && <span class="faint">{note}</span>}
      </dd>
    </div>
  );
}

/** Names and values, one under the other. */
export function Facts({ facts }: { readonly facts: readonly (readonly [string, ComponentChildren])[] }) {
  return (
    <dl class="facts">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What went wrong, said at once. */
export function Trouble({ children }: { readonly children: ComponentChildren }) {
  return (
    <p class="trouble" role="alert">
      {children}
    </p>
  );
}

/** A line of a form: its name above what is filled in. */
export function Field({
  title,
  note,
  children,
}: {
  readonly title: string;
  readonly note?: string;
  readonly children: ComponentChildren;
}) {
  return (
    <label class="field">
      <span class="field-title">{title}</span>
      {children}
      {note !== undefined && <span class="faint">{note}</span>}
    </label>
  );
}
