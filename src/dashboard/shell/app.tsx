/** The frame of the page: who is signed in, and which view is shown. */
import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { Trouble } from "../parts/bits.tsx";
import { standing, wordsOf } from "../session/edge-call.ts";
import { currentSession, type Session, signIn, signOut } from "../session/session.ts";
import { SignIn } from "../session/sign-in.tsx";
import { PoolPage } from "./pool-page.tsx";
import { fragmentOf, hasSignInCode, routeOf, takeSignInCode, TITLES } from "./route.ts";
import { TopBar } from "./top-bar.tsx";
import { usePools } from "./use-pools.ts";
import { PlanView } from "../plan/plan-view.tsx";
import { WhoView } from "../who/who-view.tsx";

/** From its end on a session is asked for so often, and not before so long has passed. */
const END_CHECKED_MS = 10_000;

type Entry =
  | { readonly state: "asking" }
  | { readonly state: "out"; readonly why: string | null }
  | { readonly state: "in"; readonly session: Session };

/** The whole page. */
export function App() {
  const [entry, setEntry] = useState<Entry>({ state: "asking" });
  useEffect(() => {
    void enter().then(setEntry);
    // A link that signs in may be opened where the page is open already.
    const moved = (): void => {
      if (hasSignInCode()) void enter().then(setEntry);
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  // Signing out ends the connections as well, and those say so before the edge has answered.
  const isLeaving = useRef(false);
  const ended = useCallback((reason: string) => {
    if (!isLeaving.current) setEntry({ state: "out", why: whyOf(reason) });
  }, []);
  const session = entry.state === "in" ? entry.session : null;
  useEffect(() => {
    if (session === null) return;
    standing.ended = ended;
    // The edge is asked, whose clock decides.
    const check = (): void => {
      currentSession().then(
        (still) => (still === null ? ended("session-ended") : undefined),
        () => {},
      );
    };
    const untilEndMs = Math.max(END_CHECKED_MS, session.endsAtMs - Date.now());
    let again: ReturnType<typeof setInterval> | undefined;
    const timer = setTimeout(() => {
      check();
      again = setInterval(check, END_CHECKED_MS);
    }, untilEndMs);
    return () => {
      clearTimeout(timer);
      clearInterval(again);
      standing.ended = () => {};
    };
  }, [session]);
  if (entry.state === "asking") return <main id="content" class="asking" aria-busy="true" />;
  if (entry.state === "out")
    return <SignIn why={entry.why} signedIn={(made) => setEntry({ state: "in", session: made })} />;
  return (
    <SignedIn
      session={entry.session}
      ended={ended}
      leave={() => {
        isLeaving.current = true;
        const left = (): void => {
          isLeaving.current = false;
          setEntry({ state: "out", why: null });
        };
        // Whatever the edge says of it, this page forgets.
        void signOut().then(left, left);
      }}
    />
  );
}

interface SignedInProps {
  readonly session: Session;
  readonly ended: (reason: string) => void;
  readonly leave: () => void;
}

function SignedIn({ session, ended, leave }: SignedInProps) {
  const [fragment, setFragment] = useState(location.hash);
  useEffect(() => {
    const moved = (): void => {
      setFragment(location.hash);
      document.getElementById("content")?.focus({ preventScroll: true });
    };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const pools = usePools(session);
  const route = routeOf(fragment);
  const [last, setLast] = useState<string | null>(null);
  const wanted = "pool" in route ? (route.pool ?? last ?? pools.names[0] ?? null) : null;
  useEffect(() => {
    if (wanted !== null) setLast(wanted);
  }, [wanted]);
  const place = "pool" in route ? (route.ip ?? wanted) : null;
  useEffect(() => {
    document.title = [TITLES[route.view], place, "ipshard"].filter((each) => each !== null).join(" · ");
  }, [route.view, place]);
  const pool = wanted ?? last ?? pools.names[0] ?? null;
  return (
    <>
      <a
        class="skip"
        href="#content"
        onClick={(event) => {
          event.preventDefault();
          document.getElementById("content")?.focus();
        }}
      >
        Skip to the content
      </a>
      <TopBar route={route} pool={pool} pools={pools.names} session={session} leave={leave} />
      <main id="content" tabIndex={-1}>
        {pools.fault !== null && <Trouble>{pools.fault}</Trouble>}
        {route.view === "plan" && <PlanView />}
        {route.view === "who" && <WhoView key={fragmentOf(route)} route={route} />}
        {"pool" in route && wanted !== null && (
          <PoolPage key={wanted} pool={wanted} route={route} session={session} ended={ended} />
        )}
        {"pool" in route && wanted === null && pools.isKnown && (
          <p class="card">
            There is no pool yet. <code>ipshard pool add NAME</code> makes one; then load this page again.
          </p>
        )}
      </main>
    </>
  );
}

/** A link that signs in comes before a session that there may be: it is what was clicked just now. */
async function enter(): Promise<Entry> {
  const code = takeSignInCode();
  try {
    if (code !== null) return { state: "in", session: await signIn({ code }) };
  } catch (fault) {
    const session = await currentSession().catch(() => null);
    return session === null ? { state: "out", why: wordsOf(fault) } : { state: "in", session };
  }
  try {
    const session = await currentSession();
    return session === null ? { state: "out", why: null } : { state: "in", session };
  } catch (fault) {
    return { state: "out", why: wordsOf(fault) };
  }
}

function whyOf(reason: string): string {
  const why: Readonly<Record<string, string>> = {
    "session-ended": "The session has ended. Sign in to go on where you were.",
    "token-revoked": "This session was signed out, or its token was revoked.",
    "token-expired": "The token of this session has ended.",
  };
  return why[reason] ?? `The session is over (${reason || "no reason was given"}).`;
}
