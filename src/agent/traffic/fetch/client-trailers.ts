/**
 * The trailers of one request and its answer, between client and origin. Only a listener whose clients
 * can take them passes them on; otherwise they are dropped. [PX13]
 */
import type { ClientRequest, ClientResponse } from "../clients/client-exchange.ts";
import type { RawHeaders } from "../http/forwarded-headers.ts";
import type { OutgoingRequest } from "../http/origin-transport.ts";
import { announcedTrailers, asksForTrailers, passedTrailers } from "../http/trailers.ts";

/** Passes them on, or not. */
export class ClientTrailers {
  readonly #request: ClientRequest;
  readonly #response: ClientResponse;
  readonly #arePassed: boolean;
  /** The head of the answer as it came. */
  #head: RawHeaders = [];

  /** HTTP/1.0 has none, in either direction. */
  constructor(request: ClientRequest, response: ClientResponse, arePassed: boolean) {
    this.#request = request;
    this.#response = response;
    this.#arePassed = arePassed && request.httpVersion !== "1.0";
  }

  /** What the origin gets of them. */
  ofRequest(hasBody: boolean): Pick<OutgoingRequest, "takesTrailers" | "trailers"> {
    const request = this.#request;
    if (!this.#arePassed) return { takesTrailers: false, trailers: null };
    const { te } = request.headers;
    return {
      takesTrailers: typeof te === "string" && asksForTrailers(te),
      trailers: hasBody ? () => passedTrailers(request.rawTrailers, request.rawHeaders) : null,
    };
  }

  /** Adds to the head that the client gets which of them follow, where any can. */
  announce(status: number, head: RawHeaders, forwarded: RawHeaders): void {
    this.#head = head;
    const { method, httpVersion } = this.#request;
    if (!this.#arePassed || method === "HEAD" || status === 204 || status === 304) return;
    const announced = announcedTrailers(head);
    if (announced === null) return;
    if (httpVersion === "2.0" || !forwarded.some(isLength)) forwarded.push("trailer", announced);
  }

  /** Ends the answer with them; HTTP/1.1 leaves them out behind a body whose length was told. */
  end(trailers: RawHeaders): void {
    if (this.#arePassed) {
      const passed = passedTrailers(trailers, this.#head);
      const fields: [string, string][] = [];
      for (let at = 0; at < passed.length; at += 2) fields.push([passed[at]!, passed[at + 1]!]);
      if (fields.length > 0) this.#response.addTrailers(fields);
    }
    this.#response.end();
  }
}

function isLength(text: string, at: number): boolean {
  return at % 2 === 0 && text.toLowerCase() === "content-length";
}
