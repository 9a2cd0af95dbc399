/*
 * The object: a table of one row, and a clock that may leap.
 */

/* Keeps numbers that mean nothing at nought, so that states that are alike are one. */
inline tidy() {
	if :: block == FREE -> due = 0; holder = 0 :: else fi;
	if :: block != LEASED -> steered = 0 :: else fi
}

/* Time passes before any command. [LE4] [LE6] */
inline look() {
	if
	:: seen < 0 -> due = due + min(0, seen + GAP); seen = 0
	:: seen >= 0 && 2 * seen >= GAP -> seen = 0
	:: else
	fi;
	if
	:: block == LEASED && due <= 0 -> block = RESTING; due = due + QUARANTINE
	:: else
	fi;
	if
	:: block == RESTING && due <= 0 -> block = FREE
	:: else
	fi;
	tidy()
}

/* Copies of requests that find their session ended. */
inline drop(h) {
	host[h].late = NONE; host[h].lateEpoch = 0
}

#ifdef STALE_EPOCH
#define ofThisEpoch(e) true
#else
#define ofThisEpoch(e) (epoch == e)
#endif
#define mayHave(h) (epoch < EPOCHS && (block == FREE || (block == RESTING && holder == h)))
#define listOf(h) (block == LEASED && holder == h && mayList -> epoch : 0)
#ifdef LIST_UNSTEERED
#define mayList true
#else
#define mayList steered
#endif

/* LAW 3: whoever had the block before is silent already. LAW 6: and has been, for the hold-down
   less what leaps of the object's clock can take from it. */
inline grant(h) {
#if FULL == 2
	assert(!sends(1 - h));
#else
	assert(h == 0 || !sends(0));
#endif
#ifdef HOLD_DOWN
	assert(h == 0 || quiet + (LEAPS - leaps) * GAP >= HOLD);
#endif
	block = LEASED; holder = h; due = LEASE; epoch++;
#ifdef MEMORY_ONLY
	unwritten = 1;
#endif
#ifdef ROUTER
	steered = 0;
	excused = !live
#else
	steered = 1
#endif
}

/* A lease never shrinks. [LE5] */
inline extend(h) {
	if :: block == LEASED && holder == h -> due = max(due, LEASE) :: else fi
}

/* Within one step; nought between steps, and no part of a state. */
#ifdef SHORTEST			/* a search in breadth cannot have such */
#define hidden
#endif
hidden short moved;
hidden byte answer;
hidden byte listed;
hidden byte copied;
hidden byte copiedEpoch;

/* Carries a request of a host out. `isCopy`: not on the connection of the newest session. */
inline serve(h, what, ofEpoch, isCopy) {
	look();
	answer = ((isCopy) || what == JOIN || current[h] -> REFUSED : STALE); listed = 0;
	if
	:: what == JOIN ->
		current[h] = !(isCopy);
		extend(h);
#ifndef STALE_SESSION
		drop(h);
#endif
		answer = GRANTED; listed = listOf(h)
	:: what == RENEW && (isCopy || current[h]) ->
		extend(h);
		answer = GRANTED; listed = listOf(h)
	:: what == ACQUIRE && (isCopy || current[h]) && (mayHave(h) || (block == LEASED && holder == h)) ->
		if
		:: block != LEASED -> grant(h)
		:: else -> extend(h)
		fi;
		/* Held back until the routers have followed: then it is asked again. [ST4] */
		answer = (steered -> GRANTED : 0); listed = listOf(h)
	:: what == RELEASE && (isCopy || current[h]) && block == LEASED && holder == h && ofThisEpoch(ofEpoch) ->
		block = RESTING; due = QUARANTINE; answer = TAKEN_BACK
	:: else
	fi;
	tidy()
}

inline pass(by) {
	if
	:: block != FREE -> due = due - (by)
	:: else
	fi
}

inline objectTick() {
	if
	:: seen < GAP -> seen++; pass(1)
#ifdef LEAP_BELIEVED
	:: seen >= GAP && due > -QUARANTINE -> pass(1)
#endif
	:: else
	fi
}

inline leapForward(by) {
	leaps--;
#ifdef LEAP_BELIEVED
	moved = LEASE;
#else
	moved = min(by, GAP - seen);
#endif
	pass(moved);
	moved = 0;
	seen = min(GAP, seen + by)
}

inline leapBack(by) {
	stepsBack--;
	seen = seen - by;
	pass(-by)
}

