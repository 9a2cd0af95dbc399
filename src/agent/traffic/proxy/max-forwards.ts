/**
 * `Max-Forwards` (RFC 9110 section 7.6.2): how many more proxies a TRACE or an OPTIONS may pass. The
 * last one answers itself. [PX9]
 */
import type { ClientRequest, ClientResponse } from "../clients/client-exchange.ts";
import { ok, type Outcome, refuse } from "../../../core/outcome.ts";
import type { Problem } from "../../../core/problems.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";

const NAME = "max-forwards";
const COUNT = /^\d{1,9}$/;
/** A TRACE is answered to whoever can read it: RFC 9110 section 9.3.8. */
const SECRET: ReadonlySet<string> = new Set(["authorization", "cookie", "proxy-authorization"]);

/** Takes one off the count in `headers`; `none` when it was used up. Other methods have no count. */
export function forwardsLeft(method: string, headers: RawHeaders): Outcome<"some" | "none", Problem> {
  if (method !== "TRACE" && method !== "OPTIONS") return ok("some");
  const ats = [...headers.keys()].filter((at) => at % 2 === 0 && headers[at] === NAME);
  if (ats.length === 0) return ok("some");
  const value = headers[ats[0]! + 1]!;
  if (ats.length > 1 || !COUNT.test(value)) {
    return refuse({ code: "request-malformed", detail: "max-forwards is not one number." });
  }
  const left = Number(value);
  if (left === 0) return ok("none");
  headers[ats[0]! + 1] = String(left - 1);
  return ok("some");
}

/** Answers as the last proxy: a TRACE with the request as it came, but for secrets; an OPTIONS with what there is. */
export function answerHere(request: ClientRequest, response: ClientResponse, via: string | null): void {
  const marks = via === null ? {} : { via: `1.1 ${via}` };
  request.resume();
  if (request.method === "OPTIONS") {
    response.writeHead(200, { ...marks, "content-length": 0 });
    response.end();
    return;
  }
  const lines = [`TRACE ${request.url} HTTP/${request.httpVersion}`];
  const { rawHeaders } = request;
  for (let at = 0; at < rawHeaders.length; at += 2) {
    if (!SECRET.has(rawHeaders[at]!.toLowerCase())) lines.push(`${rawHeaders[at]}: ${rawHeaders[at + 1]}`);
  }
  const body = Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
  response.writeHead(200, { ...marks, "content-type": "message/http", "content-length": body.length });
  response.end(body);
}
