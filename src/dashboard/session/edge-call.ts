/** Calls of the edge by a page that is signed in, and how they fail. */

/** The edge said no, in a problem document. */
export class Refused extends Error {
  override readonly name = "Refused";
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, words: string) {
    super(words);
    this.status = status;
    this.code = code;
  }
}

/** What is known of who is signed in, for each call. */
interface Standing {
  csrf: string | null;
  /** Told when an answer says that the session is over. */
  ended: (reason: string) => void;
}

/** Of this page. */
export const standing: Standing = { csrf: null, ended: () => {} };

/** The answer, or `Refused`; a network that fails is a refusal of status 0. */
export async function callEdge<Answer>(
  method: "GET" | "POST" | "PUT" | "DELETE",
  path: string,
  body?: object,
): Promise<Answer> {
  const headers: Record<string, string> = {};
  if (standing.csrf !== null && method !== "GET") headers["ipshard-csrf"] = standing.csrf;
  if (body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      cache: "no-store",
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    throw new Refused(
      0,
      "edge-unreachable",
      "The edge cannot be reached. Is the network there, and does the edge run?",
    );
  }
  const answer: unknown = await response.json().catch(() => null);
  if (response.ok) return answer as Answer;
  const refused = refusalIn(response.status, answer);
  if (response.status === 401) standing.ended(refused.code);
  throw refused;
}

/** A sentence for people about whatever was thrown. */
export function wordsOf(fault: unknown): string {
  return fault instanceof Error ? fault.message : String(fault);
}

function refusalIn(status: number, answer: unknown): Refused {
  const { code, title, detail } = (answer ?? {}) as { code?: unknown; title?: unknown; detail?: unknown };
  if (typeof code !== "string" || typeof title !== "string")
    return new Refused(
      status,
      "answer-unreadable",
      `What answered (with ${status}) is no edge of this version.`,
    );
  return new Refused(status, code, typeof detail === "string" ? `${title} ${detail}` : title);
}
