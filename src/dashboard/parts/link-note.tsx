/** Whether what is shown is of now. A live region: it is said when it changes. */
import type { LinkStanding } from "../live/link-standing.ts";
import type { LinkState } from "../live/live-socket.ts";
import { refusalTitle } from "./refusal-title.ts";
import { useNow, useSignals } from "./use-signals.ts";
import { span } from "./words.ts";

const LINK_WORDS: Readonly<Record<LinkState, string>> = {
  waiting: "Connecting …",
  live: "Live",
  lost: "The connection is lost; connecting again.",
  resting: "At rest while nobody looks.",
};

/** The note. */
export function LinkNote({ of, testId }: { readonly of: LinkStanding; readonly testId: string }) {
  useSignals(of.linkChanged);
  const { link, lostAtMs, lostWhy } = of;
  return (
    <p class={`link-note ${link}`} role="status" data-testid={testId} data-state={link}>
      {link === "lost" && lostWhy !== ""
        ? `${refusalTitle(lostWhy) || lostWhy} Asking again.`
        : LINK_WORDS[link]}
      {link === "lost" && lostWhy === "" && <Since atMs={lostAtMs ?? Date.now()} />}
    </p>
  );
}

/** It counts on, which nobody wants to hear each second. */
function Since({ atMs }: { readonly atMs: number }) {
  const nowMs = useNow();
  return <span aria-hidden="true"> What is shown is {span(nowMs - atMs)} old.</span>;
}
