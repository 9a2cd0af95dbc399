/** How much attention something needs: none, to be known, soon, now. */
export type Level = "good" | "note" | "short" | "bad";
