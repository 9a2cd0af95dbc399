/** Whether the page is shown on something as narrow as a phone. */
import { useEffect, useState } from "preact/hooks";

const narrow = matchMedia("(max-width: 760px)");

/** Follows the window. */
export function useNarrow(): boolean {
  const [isNarrow, setNarrow] = useState(narrow.matches);
  useEffect(() => {
    const listener = (): void => setNarrow(narrow.matches);
    narrow.addEventListener("change", listener);
    return () => narrow.removeEventListener("change", listener);
  }, []);
  return isNarrow;
}
