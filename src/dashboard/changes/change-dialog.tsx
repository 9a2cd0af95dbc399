/** Nothing is changed before this dialog has said what it will do, and somebody agreed. */
import { useState } from "preact/hooks";
import { Field, Trouble } from "../parts/bits.tsx";
import { Dialog } from "../parts/dialog.tsx";
import { callEdge, wordsOf } from "../session/edge-call.ts";
import type { Change } from "./change.ts";

interface ChangeDialogProps {
  readonly change: Change;
  readonly closed: () => void;
}

/** The dialog. What comes of the change is seen where it is shown anyway. */
export function ChangeDialog({ change, closed }: ChangeDialogProps) {
  // What it will do is told as it was when it was asked, though the pool goes on.
  const [{ title, method, path, willDo, typed }] = useState(change);
  const [text, setText] = useState("");
  const [fault, setFault] = useState<string | null>(null);
  const [isBusy, setBusy] = useState(false);
  const confirm = async (): Promise<void> => {
    setBusy(true);
    setFault(null);
    try {
      await callEdge(method, path);
      closed();
    } catch (refused) {
      setFault(wordsOf(refused));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`${title}?`} closed={closed}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void confirm();
        }}
      >
        <ul class="will-do">
          {willDo.map((sentence) => (
            <li key={sentence}>{sentence}</li>
          ))}
        </ul>
        {typed !== null && (
          <Field title={`Type ${typed} to go on`}>
            <input
              value={text}
              autocomplete="off"
              spellcheck={false}
              onInput={(event) => setText(event.currentTarget.value)}
            />
          </Field>
        )}
        {fault !== null && <Trouble>{fault}</Trouble>}
        <p class="buttons">
          <button
            type="submit"
            class={typed === null ? "main-button" : "danger"}
            disabled={isBusy || (typed !== null && text.trim() !== typed)}
          >
            {title}
          </button>
          <button type="button" onClick={closed}>
            Cancel
          </button>
        </p>
      </form>
    </Dialog>
  );
}
