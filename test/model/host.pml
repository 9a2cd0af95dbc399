/*
 * A host: its lease keeper, its guard, its two clocks, and the network between it and the object.
 */

/* A term that is over by one clock is over: nothing that is allowed to happen revives it. */
inline settle(m, w) {
	if
	:: m == 0 || w == 0 -> m = 0; w = 0
	:: else
	fi
}

/* What no longer matters is at nought: a lease without a term, a guard without sockets, and
   sockets that nothing will let out any more (the binder makes new ones). */
inline tidyHost(h) {
	if :: host[h].tm == 0 -> host[h].held = 0; host[h].leaving = 0 :: else fi;
#ifndef TERM_FROM_REPLY
	if :: host[h].rm == 0 -> host[h].list = 0 :: else fi;
#endif
#ifdef UNGUARDED
	if :: host[h].tm == 0 -> host[h].sock = 0 :: else fi;
#endif
#if !defined(UNGUARDED) && !defined(NO_GUARD)
	if :: host[h].gm == 0 && host[h].fl != PERMIT -> host[h].sock = 0 :: else fi;
#endif
#ifdef UNGUARDED
	host[h].gm = 0; host[h].gw = 0
#else
	if :: !host[h].sock -> host[h].gm = 0; host[h].gw = 0 :: else fi
#endif
}

inline forget(h) {
	host[h].held = 0; host[h].leaving = 0; host[h].sock = 0
}

/* Before anything else the keeper asks whether the term is over. [LK2] */
inline wake(h) {
	if
	:: host[h].tm == 0 || host[h].tw == 0 -> host[h].tm = 0; host[h].tw = 0; forget(h)
	:: else
	fi
}

inline cutOff(h) {
	host[h].rq = NONE; host[h].rm = 0; host[h].rw = 0; host[h].an = 0; host[h].list = 0
}

inline newTerm(h) {
	host[h].rm = LEASE; host[h].rw = LEASE;
#ifdef MONOTONIC_ONLY
	host[h].rw = FAR;
#endif
#ifdef WALL_ONLY
	host[h].rm = FAR;
#endif
}

/* Sends a request. `copy`: the network keeps one, to deliver it once more or after the end of
   the connection. Copies from before a join find their session ended, so they are dropped. */
inline ask(h, what, copy) {
	host[h].rq = what; newTerm(h);
	if
	:: copy -> host[h].late = what; host[h].lateEpoch = (what == RELEASE -> host[h].held : 0)
	:: else
	fi
}

/* What the edge lists is taken up, what it does not list is dropped. [LK3] */
inline reconcile(h) {
	if
	:: host[h].held != host[h].list ->
		/* LAW 5 on the host: what it takes up is newer than what it had. */
		assert(host[h].list == 0 || host[h].list > host[h].held);
		forget(h);
		host[h].held = host[h].list
	:: else
	fi
}

/* Takes an answer in. */
inline receive(h) {
	wake(h);
	if
	:: host[h].an == STALE -> host[h].phase = OPEN
	:: host[h].an == REFUSED ->
		/* What is not held under its epoch needs no release. */
		if
		:: host[h].rq == RELEASE -> forget(h)
		:: else
		fi
	:: host[h].an == TAKEN_BACK ->
		forget(h);
		if
		:: host[h].tm > 0 -> reconcile(h)
		:: else
		fi
	:: host[h].an == GRANTED ->
		if
		:: host[h].rq == JOIN -> host[h].phase = JOINED
		:: else
		fi;
#ifdef TERM_FROM_REPLY
		newTerm(h);
#endif
		/* An answer that slept past its own end gives nothing. */
		if
		:: host[h].rm > 0 && host[h].rw > 0 && host[h].rm >= host[h].tm ->
			host[h].tm = host[h].rm; host[h].tw = host[h].rw
		:: else
		fi;
		if
		:: host[h].tm > 0 -> reconcile(h)
		:: else
		fi
	fi;
	cutOff(h)
}

/* Writes the program for the guard, with what is left by the stricter clock now. */
inline write(h) {
	wake(h);
	if
	:: host[h].held > 0 && !host[h].leaving && host[h].tm > 0 ->
		host[h].fl = PERMIT;
		host[h].fm = min(host[h].tm, host[h].tw);
		host[h].fw = host[h].tw
	:: else -> host[h].fl = SILENCE; host[h].fm = 0; host[h].fw = 0
	fi
}

/* The program is in force; only now the binder may use the block. [MA2] */
inline commit(h) {
	host[h].gm = host[h].fm; host[h].gw = host[h].fw;
#ifdef GUARD_NO_WALL
	if :: host[h].gm > 0 -> host[h].gw = FAR :: else fi;
#endif
#ifdef GUARD_NO_TIMEOUT
	if :: host[h].gw > 0 -> host[h].gm = FAR :: else fi;
#endif
	settle(host[h].gm, host[h].gw);
	if
	:: host[h].fl == PERMIT && host[h].phase != DOWN && host[h].held > 0 && !host[h].leaving && host[h].tm > 0 ->
		begin(h)
	:: else
	fi;
	host[h].fl = 0; host[h].fm = 0; host[h].fw = 0
}

/* The binder has the block. */
inline begin(h) {
	if
	:: !host[h].sock ->
#ifdef ROUTER
		/* LAW 4: the router steers to it, or the deadline has passed, or it was not live. */
		if
		:: h == 0 -> assert(excused || kernel == 2 * host[h].held - 1)
		:: else
		fi;
#endif
		host[h].sock = 1
	:: else
	fi
}

/* One clock of a host may be wrong, and not the other in the same term: not as long as anything
   counts on a time from before. [HO4] That includes what the guard was told: its timeout runs
   by the monotonic clock from when it came into force, and is thus longer than the term by the
   time that the telling took, which only the wall clock makes good. */
#define rightOrNone(m, w) (m == w || w == FAR || m == 0)
#define notSetBack(m, w) (m == 0 || w != FAR)
#ifdef BOTH_CLOCKS
#define maySetBack(h) true
#define mayHalt(h) true
#else
#if defined(MONOTONIC_ONLY) || defined(GUARD_NO_WALL)
#define maySetBack(h) false
#define mayHalt(h) true
#else
#if defined(WALL_ONLY) || defined(GUARD_NO_TIMEOUT)
#define maySetBack(h) true
#define mayHalt(h) false
#else
#define maySetBack(h) (!host[h].halted && rightOrNone(host[h].rm, host[h].rw) && \
	rightOrNone(host[h].tm, host[h].tw) && rightOrNone(host[h].gm, host[h].gw) && \
	rightOrNone(host[h].fm, host[h].fw))
#define mayHalt(h) (notSetBack(host[h].rm, host[h].rw) && notSetBack(host[h].tm, host[h].tw) && \
	notSetBack(host[h].gm, host[h].gw) && notSetBack(host[h].fm, host[h].fw))
#endif
#endif
#endif

#define far(m, w) w = (m > 0 -> FAR : w)

inline setBack(h) {
	far(host[h].rm, host[h].rw); far(host[h].tm, host[h].tw);
	far(host[h].gm, host[h].gw); far(host[h].fm, host[h].fw)
}

/* A program for the guard that counts on a wall clock set back since comes into force at once. */
#ifdef SLOW_TELLING
#define mayPass(h) true
#else
#define mayPass(h) (host[h].fl != PERMIT || host[h].fw != FAR)
#endif

inline hostTick(h) {
	if
	:: !host[h].halted -> down(host[h].rm); down(host[h].tm); down(host[h].gm)
	:: else
	fi;
	down(host[h].rw); down(host[h].tw); down(host[h].gw); down(host[h].fw);
	settle(host[h].rm, host[h].rw);
	settle(host[h].tm, host[h].tw);
	settle(host[h].gm, host[h].gw);
	settle(host[h].fm, host[h].fw);
	tidyHost(h)
}

#define up(h) (host[h].phase != DOWN)
#define idle(h) (host[h].phase >= OPEN && host[h].rq == NONE)
#define canJoin(h) (idle(h) && (host[h].phase == OPEN || host[h].tm == 0))
#define canAsk(h) (idle(h) && host[h].phase == JOINED && host[h].tm > 0)

#define END answer = 0; listed = 0; copied = 0; copiedEpoch = 0; tidyHost(_pid); exclusive

active [FULL] proctype HostAndNetwork()
{
	do
	/* Requests. Of each a copy may stay in the network. */
	:: d_step { canJoin(_pid) -> sayHost("asks to join"); wake(_pid); ask(_pid, JOIN, false); END }
	:: d_step { canAsk(_pid) -> sayHost("asks to renew"); ask(_pid, RENEW, false); END }
	:: d_step { canAsk(_pid) && host[_pid].held == 0 ->
		sayHost("asks for the block"); ask(_pid, ACQUIRE, false); END }
	:: d_step { canAsk(_pid) && host[_pid].leaving ->
		sayHost("asks to release"); ask(_pid, RELEASE, false); END }
#ifndef NO_COPIES
	:: d_step { canJoin(_pid) ->
		sayHost("asks to join, twice"); wake(_pid); ask(_pid, JOIN, true); END }
	:: d_step { canAsk(_pid) -> sayHost("asks to renew, twice"); ask(_pid, RENEW, true); END }
	:: d_step { canAsk(_pid) && host[_pid].held == 0 ->
		sayHost("asks for the block, twice"); ask(_pid, ACQUIRE, true); END }
	:: d_step { canAsk(_pid) && host[_pid].leaving ->
		sayHost("asks to release, twice"); ask(_pid, RELEASE, true); END }
#endif
	/* A request arrives, for the first time or again; its answer leaves, or is lost. */
	:: d_step { host[_pid].rq != NONE ->
		sayHost("is answered");
		serve(_pid, host[_pid].rq, host[_pid].held, false);
		if
		:: answer != 0 -> host[_pid].an = answer; host[_pid].list = listed
		:: else
		fi;
		END }
	:: d_step { host[_pid].rq != NONE ->
		sayHost("is answered, and the answer is lost");
		serve(_pid, host[_pid].rq, host[_pid].held, false);
		END }
#ifndef NO_COPIES
	:: d_step { host[_pid].late != NONE ->
		sayHost("is answered what it asked before");
		copied = host[_pid].late; copiedEpoch = host[_pid].lateEpoch;
		drop(_pid);
		serve(_pid, copied, copiedEpoch, true);
		END }
#endif
	/* Refused from memory: by policy, or, whatever it is, by an instance that is superseded. */
	:: d_step { host[_pid].rq == ACQUIRE ->
		sayHost("is refused"); host[_pid].an = REFUSED; host[_pid].list = 0 }
	:: d_step { host[_pid].rq != NONE ->
		sayHost("is told that it has no session"); host[_pid].an = STALE; host[_pid].list = 0 }
#ifdef UNFENCED
	:: d_step { _pid == 0 && oldList == 0 && listOf(0) != 0 ->
		say("the object is superseded"); oldList = listOf(0) }
	:: d_step { _pid == 0 && oldList != 0 && (host[0].rq == JOIN || host[0].rq == RENEW) ->
		say("the old instance answers host 0"); host[0].an = GRANTED; host[0].list = oldList }
#endif
	:: d_step { host[_pid].an != 0 -> sayHost("hears the answer"); receive(_pid); END }
	/* The connection breaks, and is made again sooner or later. */
	:: d_step { up(_pid) ->
		sayHost("loses its connection"); wake(_pid); cutOff(_pid); host[_pid].phase = OPEN; END }
	/* The block is given up: no new flows, then none, then it may be released. */
	:: d_step { up(_pid) && host[_pid].held > 0 && !host[_pid].leaving ->
		sayHost("gives the block up");
		wake(_pid);
		if
		:: host[_pid].held > 0 ->
			host[_pid].leaving = 1;
#ifndef RELEASE_BEFORE_RESET
			host[_pid].sock = 0
#endif
		:: else
		fi;
		END }
	/* The guard is told: at once, or slowly. */
	:: d_step { up(_pid) && host[_pid].fl == 0 ->
		sayHost("tells its guard"); write(_pid); commit(_pid); END }
#ifndef PROMPT
	:: d_step { up(_pid) && host[_pid].fl == 0 -> sayHost("begins to tell its guard"); write(_pid); END }
	:: d_step { host[_pid].fl != 0 -> sayHost("has told its guard"); commit(_pid); END }
#endif
	/* The process is killed: its memory is gone; sockets, guard and what the guard is being told
	   go on. It starts: its sockets are gone, and the guard is silenced before it asks. [PM5] */
	:: d_step { up(_pid) ->
		sayHost("is killed");
		cutOff(_pid); host[_pid].phase = DOWN; host[_pid].tm = 0; host[_pid].tw = 0; END }
	:: d_step { host[_pid].phase == DOWN ->
		sayHost("starts");
		host[_pid].phase = OPEN; host[_pid].sock = 0; host[_pid].gm = 0; host[_pid].gw = 0; END }
	:: d_step { current[_pid] && (block == FREE || holder != _pid) ->
		sayHost("is forgotten"); current[_pid] = 0; drop(_pid) }
#ifndef RIGHT_CLOCKS
	:: d_step { host[_pid].halted -> sayHost("has its monotonic clock go on"); host[_pid].halted = 0 }
	:: d_step { !host[_pid].halted && mayHalt(_pid) ->
		sayHost("has its monotonic clock halt"); host[_pid].halted = 1 }
	:: d_step { maySetBack(_pid) -> sayHost("has its wall clock set back"); setBack(_pid); END }
#endif
	od
}
