/** The way in: a token, exchanged for a session. */
import { useState } from "preact/hooks";
import { Field, Trouble } from "../parts/bits.tsx";
import { wordsOf } from "./edge-call.ts";
import { type Session, signIn } from "./session.ts";

interface SignInProps {
  /** Why one is here again; null for the first time. */
  readonly why: string | null;
  readonly signedIn: (session: Session) => void;
}

/** The form. */
export function SignIn({ why, signedIn }: SignInProps) {
  const [fault, setFault] = useState<string | null>(why);
  const [isBusy, setBusy] = useState(false);
  const submit = async (form: HTMLFormElement): Promise<void> => {
    const token = new FormData(form).get("token");
    if (typeof token !== "string" || token.trim() === "") return;
    setBusy(true);
    setFault(null);
    try {
      signedIn(await signIn({ token: token.trim() }));
    } catch (refused) {
      setFault(wordsOf(refused));
      setBusy(false);
    }
  };
  return (
    <main class="sign-in" id="content">
      <form
        class="card"
        onSubmit={(event) => {
          event.preventDefault();
          void submit(event.currentTarget);
        }}
      >
        <h1>
          <Brand /> ipshard
        </h1>
        <p class="faint">One shared address over many hosts, seen live.</p>
        {fault !== null && <Trouble>{fault}</Trouble>}
        <Field
          title="Token"
          note="Of an administrator or a viewer. It is exchanged for a session of an hour at most, and kept nowhere in this browser."
        >
          <input name="token" type="password" autocomplete="off" spellcheck={false} required />
        </Field>
        <button type="submit" class="main-button" disabled={isBusy}>
          {isBusy ? "Signing in …" : "Sign in"}
        </button>
        <p class="faint">
          <code>ipshard dashboard</code> prints a link that signs in once.
        </p>
      </form>
    </main>
  );
}

/** The sign of the page: a Hilbert curve of the first order, drawn twice. */
export function Brand() {
  return (
    <svg class="brand" viewBox="0 0 24 24" aria-hidden="true">
      <path d="M4 20V4h8v8h8V4M4 20h16v-4" />
    </svg>
  );
}
