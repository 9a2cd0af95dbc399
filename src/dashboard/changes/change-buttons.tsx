/** The buttons by which an administrator begins a change; each opens a dialog that says what it will do. */

interface ChangeButtonsProps {
  readonly isDrained: boolean;
  readonly isRemovable: boolean;
  readonly ask: (verb: "drain" | "resume" | "remove") => void;
}

/** Those of a host or an address. */
export function ChangeButtons({ isDrained, isRemovable, ask }: ChangeButtonsProps) {
  return (
    <>
      {isDrained ? (
        <button type="button" onClick={() => ask("resume")}>
          Resume …
        </button>
      ) : (
        <button type="button" onClick={() => ask("drain")}>
          Drain …
        </button>
      )}
      <button type="button" class="danger" disabled={!isRemovable} onClick={() => ask("remove")}>
        Remove …
      </button>
    </>
  );
}
