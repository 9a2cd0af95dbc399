/*
 * The way of a grant to the router, and of its word back to the host.
 */

#ifdef ROUTER
#ifdef ACK_NOT_AWAITED
#define ackIgnored true
#else
#define ackIgnored false
#endif
/* A version lower than one that was taken is refused. [ST5] */
#ifdef OUTDATED_TAKEN
#define mayTake(v) true
#else
#define mayTake(v) ((v) >= pool)
#endif

inline endCall() {
	publishing = IDLE; version = 0; patience = 0
}

/* LAW 5 on a router: what its kernel follows only gets newer, but for a machine that starts. */
inline follow(to) {
	assert(to >= kernel);
	kernel = to
}

active proctype Steering()
{
	do
	/* LAW 4 speaks of blocks of host 0 alone. */
	:: d_step { !excused && !(block == LEASED && holder == 0) && host[0].held == 0 && host[0].list == 0 ->
		excused = 1 }
	/* The address publishes what its pool does not know; a call that broke is made again. */
	:: d_step { publishing == IDLE && published < tableVersion ->
		say("the address publishes"); publishing = SENT; version = tableVersion }
	:: d_step { publishing == SENT && mayTake(version) ->
		say("the pool takes it and waits"); pool = version; publishing = AWAITED; patience = PATIENCE }
	:: d_step { publishing == AWAITED && (!live || kernel >= version || patience == 0 || ackIgnored) ->
		say("the pool waits no longer"); publishing = ANSWERED }
	:: d_step { publishing == ANSWERED ->
		say("the address hears of it");
		published = max(published, version);
		/* What was granted since is not in that publication. */
		if
		:: version >= 2 * epoch - 1 -> steered = (block == LEASED)
		:: else
		fi;
		endCall() }
	:: d_step { publishing == SENT && stray == 0 -> say("the call goes astray"); stray = version; endCall() }
	:: d_step { publishing != IDLE -> say("the call breaks"); endCall() }
	:: d_step { stray > 0 && mayTake(stray) ->
		say("the pool takes what went astray"); pool = stray; stray = 0 }
	:: d_step { stray > 0 -> say("what went astray is lost"); stray = 0 }
	/* The router follows, one change or many at once. */
	:: d_step { live && kernel != pool -> say("the router follows"); follow(pool) }
	:: d_step { live && kernel + 1 < pool -> say("the router follows one change"); follow(kernel + 1) }
	:: d_step { !live -> say("the router enrols"); live = 1 }
	:: d_step { live -> say("the router is away"); live = 0; excused = 1 }
	:: d_step { kernel > 0 -> say("the router's machine starts anew"); live = 0; excused = 1; kernel = 0 }
	od
}
#endif
