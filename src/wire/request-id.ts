/**
 * The name of one request in all logs, headers and answers. [MT9]
 *
 * Whoever is first makes it: the edge, or a host that a client asks itself. What a client of the edge says is
 * not taken over, so that nobody can give two requests one name, or put into a log what is none; what clients
 * want to find their own requests by is `traceparent`, which passes through.
 */

const REQUEST_ID = /^[0-9A-Za-z-]{8,64}$/;

/** Makes one. */
export function newRequestId(): string {
  return crypto.randomUUID();
}

/** A field's value, if it is one; else null. */
export function readRequestId(value: string | null | undefined): string | null {
  return value != null && REQUEST_ID.test(value) ? value : null;
}
