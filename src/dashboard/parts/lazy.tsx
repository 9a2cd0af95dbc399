/** A view whose code is fetched when it is first shown. */
import type { ComponentType } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Trouble } from "./bits.tsx";

/** Shows what `load` brings, with the same properties. */
export function lazy<Props extends object>(load: () => Promise<ComponentType<Props>>): ComponentType<Props> {
  let loaded: ComponentType<Props> | null = null;
  return function Lazy(props: Props) {
    const [fault, setFault] = useState(false);
    const [, redraw] = useState(0);
    useEffect(() => {
      if (loaded !== null) return;
      const fetchIt = async (): Promise<void> => {
        try {
          loaded = await load();
          redraw((count) => count + 1);
        } catch {
          setFault(true);
        }
      };
      void fetchIt();
    }, []);
    if (fault) return <Trouble>This view could not be fetched. Load the page again.</Trouble>;
    const Component = loaded;
    return Component === null ? <p class="faint loading">Fetching the view …</p> : <Component {...props} />;
  };
}
