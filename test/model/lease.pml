/*
 * The lease protocol as a model that spin searches exhaustively: one object that may be
 * superseded, two hosts, one router, and a block that both hosts want. README.md beside this
 * says what is verified, within which bounds, and how to run it.
 *
 * The laws are assertions (search for LAW). A step is one `d_step`. Every step that a part could
 * take next is on offer, and none is ever forced, so a pause of any process and a delay of any
 * message are in every run. Only `tick` lets time pass, and the kernels' own timeouts with it.
 *
 * What is left out, and why nothing is lost by it:
 *
 * ONE BLOCK. Laws 1, 3, 4 and 6 speak of one block at a time. What a host does about others
 *   touches this one through the common end of its leases [LE1], and that is renewed here at any
 *   time. A spare is a block that the guard has not been told of yet.
 * NO POLICY. A free block is granted or refused by choice: every allocation is among that.
 * OTHERS. Unless FULL is 2, host 1 stands for every other host, in any state and with any clocks:
 *   it asks for anything at any moment and sends from what is granted to it at once. Host 0 must
 *   be exclusive against that; each host of a real pair is a host 0 to the other.
 * COUNTDOWNS. A deadline is what is left until it, on the clock that it is meant for; a clock
 *   that leaps changes what is left. So runs have no end, and no clock has a greatest value.
 * NO MARGIN. The host uses its lease to the end; the real one stops two per cent sooner, which
 *   is a part of what this one may do (it may also drop everything at any moment).
 * A GAP IS CAPPED. Beyond GAP since its clock was seen, the object adds to every deadline what
 *   it subtracts by the look that comes [LE6]; here the deadlines stand still meanwhile.
 * WRITES ARE STEPS. A command and its events are one transaction, and its answer leaves after it
 *   [DO6], so between the two nothing is to be seen but a delay, or a loss, of the answer.
 * THE OLD INSTANCE REFUSES. Its memory needs no copy: what it would grant or extend it cannot
 *   write, and is ended by that. What needs no write are refusals, and it may refuse anything
 *   for its session. What it still says to the pool is a stray publication.
 * FORGOTTEN. A host without a row may be forgotten at any moment, not only when its time is over.
 * A CLOCK SET BACK IS SET BACK FOR GOOD. FAR is left on it from then on: more than by any smaller
 *   step, and all that the wall clock ever does is to forbid. One that is set forward only makes
 *   the host fall silent sooner.
 * A HALTED CLOCK halts while the host acts. A real monotonic clock halts while the host sleeps,
 *   which is a run in which the host does nothing meanwhile.
 * SOCKETS. `sock`: the host has sockets in the block, which send whenever they like, also when
 *   its process is paused or dead. On the wire is what the guard lets out of that.
 * DEAD NUMBERS are set to nought (`tidy`), so that states that differ in nothing else are one.
 */

#ifndef LEASE
#define LEASE 3			/* ticks; a lease as the object counts it */
#endif
#ifndef GAP
#define GAP 1			/* the longest time between two looks of the object at its clock */
#endif
#ifdef NO_QUARANTINE		/* wrong variant */
#define QUARANTINE 0
#else
#ifndef QUARANTINE
#define QUARANTINE (2 * GAP)
#endif
#endif
#ifndef EPOCHS
#define EPOCHS 3		/* grants in one run */
#endif
#ifndef LEAPS
#define LEAPS 2			/* leaps forward of the object's clock in one run: QUARANTINE / GAP */
#endif
#ifndef STEPS_BACK
#define STEPS_BACK 1		/* and leaps back */
#endif
#ifndef FULL
#define FULL 1			/* hosts in full; the others are `Others`, below */
#endif
#define FAR 14

/* How much a host has to do with the edge. */
#define DOWN 0			/* the process is dead */
#define OPEN 1			/* it has to join, once it has a connection; what it held it may use on */
#define JOINED 2

/* Requests. */
#define NONE 0
#define JOIN 1
#define RENEW 2
#define ACQUIRE 3
#define RELEASE 4

/* Answers. */
#define GRANTED 1		/* says for how long, and what is held */
#define TAKEN_BACK 2		/* the answer to a release: extends nothing */
#define REFUSED 3		/* by policy, or since the block is not held under that epoch */
#define STALE 4			/* the session is not the newest */

/* The block. */
#define FREE 0
#define LEASED 1
#define RESTING 2		/* quarantined */

/* What is on its way to the guard. */
#define SILENCE 1
#define PERMIT 2

typedef Host {
	byte phase;
	/* The request without an answer, and the term that its answer would give: counted down
	   from before it was sent, by the monotonic and by the wall clock. */
	byte rq; byte rm; byte rw;
	/* The answer to it that is on its way: kind and epoch of the listed lease. */
	byte an; byte list;
	/* A copy of a request that is still on its way, of this connection or one before. */
	byte late; byte lateEpoch;
	byte tm; byte tw;	/* the term; over, or none, when either is 0 */
	byte held;		/* the epoch of the lease that is held; 0: none */
	bit leaving;		/* reset, and to be given back */
	bit sock;
	byte gm; byte gw;	/* the guard: what is left of its timeout, and to its wall-clock end */
	byte fl; byte fm; byte fw; /* a program for the guard on its way: written, not in force */
	bit halted;		/* the monotonic clock */
};

Host host[FULL];

/* The table, as it is on disk and in the memory of the newest instance. */
byte block = FREE;
byte holder;			/* whose, while it is not free */
byte epoch;			/* of the last grant */
bit steered;
short due;			/* until the lease ends, or, while it rests, until it is free */
bit current[FULL];		/* the host's connection has the newest session [HO2] */
short seen;			/* since the clock was seen */

byte leaps = LEAPS;
byte stepsBack = STEPS_BACK;

#ifdef ROUTER
/* Pool and router. A version is twice the epoch, less one while it is leased: all there is to
   say of one block. It serves as the pool's number of a change too, for both only rise. What a
   live router is told is what the pool has; when it hears of it is when it follows, and it
   acknowledges when it is heard. One that is killed follows nothing and acknowledges nothing until
   it enrols again; its kernel goes on. One whose machine starts anew is not live until it has
   enrolled, and what the pool believes of it meanwhile concerns no law. */
#define IDLE 0
#define SENT 1			/* on its way to the pool */
#define AWAITED 2		/* the pool waits for the router */
#define ANSWERED 3		/* done; the answer is on its way to the address */
byte published;			/* on disk: the newest version that the routers have followed */
byte publishing = IDLE;
byte version;			/* of the publication under way */
byte patience;			/* until the deadline */
byte stray;			/* a publication that nobody waits for: of a call that broke, or of a superseded instance */
byte pool;			/* the newest version that the pool took */
bit live;			/* the router has a connection on which it enrolled */
byte kernel;			/* the version that its kernel has followed */
bit excused;			/* since the grant the router was not live, or the deadline passed */
#define tableVersion (block == LEASED -> 2 * epoch - 1 : 2 * epoch)
#endif

#ifdef MEMORY_ONLY
bit unwritten;
#endif
#ifdef UNFENCED
byte oldList;			/* what the superseded instance believes that host 0 holds */
#endif

/* What stands on the wire. Wrong variants take one of the checks away. */
#ifdef UNGUARDED		/* only the binder, in a process that is not paused */
#define sends(h) (host[h].sock && host[h].tm > 0 && host[h].tw > 0)
#else
#ifdef NO_GUARD
#define sends(h) (host[h].sock)
#else
#define sends(h) (host[h].sock && host[h].gm > 0 && host[h].gw > 0)
#endif
#endif

/* LAW 1. What `Others` hold they may send from, from the grant on. */
#if FULL == 2
#define exclusive assert(!(sends(0) && sends(1)))
#else
#define exclusive assert(!(sends(0) && block == LEASED && holder == 1))
#endif

#ifdef HOLD_DOWN
#define HOLD (2 * GAP)
byte quiet = HOLD;	/* ticks since host 0 could last send, up to the hold-down */
#endif

#define min(a, b) ((a) < (b) -> (a) : (b))
#define max(a, b) ((a) > (b) -> (a) : (b))

#define down(x) x = (x == 0 || x == FAR -> x : x - 1)

/* What a trail tells: `spin -t`. */
#define say(what) printf(what); printf("\n")
#define sayHost(what) printf("host %d ", _pid); printf(what); printf("\n")

#include "object.pml"
#include "host.pml"
#include "steering.pml"

#if FULL == 2
#define timeMayPass (mayPass(0) && mayPass(1))
#else
#define timeMayPass mayPass(0)
#endif

active proctype World()
{
	do
	:: d_step { timeMayPass ->
		say("tick");
#ifdef HOLD_DOWN
		quiet = (sends(0) -> 0 : min(quiet + 1, HOLD));
#endif
		hostTick(0);
#if FULL == 2
		hostTick(1);
#endif
		objectTick();
#ifdef ROUTER
		if
		:: publishing == AWAITED && patience > 0 ->
			patience--;
			if
			:: patience == 0 && version >= 2 * epoch - 1 -> excused = 1
			:: else
			fi
		:: else
		fi;
#endif
		exclusive }
	/* The object's clock is set, or a new instance has another. */
	:: d_step { leaps > 0 && seen < GAP -> say("the object's clock leaps forward"); leapForward(GAP) }
	:: d_step { leaps > 0 && seen < GAP - 1 && GAP > 1 -> say("the object's clock leaps forward a little"); leapForward(1) }
	:: d_step { stepsBack > 0 -> say("the object's clock is set back a little"); leapBack(1) }
	:: d_step { stepsBack > 0 -> say("the object's clock is set back"); leapBack(GAP + 1) }
	/* The alarm, however late. */
	:: d_step { say("the alarm"); look(); exclusive }
#ifdef MEMORY_ONLY
	:: d_step { unwritten -> say("the object has written"); unwritten = 0 }
	:: d_step { unwritten -> say("the object restarts and has not written"); unwritten = 0; block = FREE; epoch--; tidy() }
#endif
#if FULL == 1
	/* Others: every other host, in any state, with any clocks. */
	:: d_step { say("another host asks for the block"); look();
		if
		:: mayHave(1) -> grant(1)
		:: else
		fi;
		exclusive }
	:: d_step { block == LEASED && holder == 1 -> say("the other host renews"); look();
		if
		:: block == LEASED -> due = max(due, LEASE)
		:: else
		fi }
	:: d_step { block == LEASED && holder == 1 -> say("the other host releases"); look();
		if
		:: block == LEASED -> block = RESTING; due = QUARANTINE; tidy()
		:: else
		fi }
#endif
	od
}
