/** The `egress` request header: an RFC 9651 dictionary to and from a core selection. [SE1] [SE2] */
import { Token, parseDictionary, serializeDictionary } from "structured-headers";
import { type Outcome, refuse } from "../core/outcome.ts";
import { type Selection, type SelectionRefusal, toSelection } from "../core/selection.ts";

/** Longer than any that selects something; reading what is longer would take its time. */
const MAX_LENGTH = 2_048;
const QUOTED_STRING = /"(?:[^"\\]|\\.)*"/g;

/** Reads the header; an absent or empty one selects nothing in particular. */
export function parseSelection(header: string | null): Outcome<Selection, SelectionRefusal> {
  if (header === null || header.trim() === "") return toSelection([]);
  if (header.length > MAX_LENGTH) return refuse({ code: "selection-malformed", member: "" });
  let members: [string, string][];
  try {
    members = [...parseDictionary(header)].map(([key, [value, parameters]]) => {
      if (parameters.size > 0) throw new TypeError("parameters have no meaning here");
      if (typeof value === "string") return [key, value];
      if (value instanceof Token) return [key, value.toString()];
      if (key === "ttl" && typeof value === "number" && Number.isInteger(value)) return [key, String(value)];
      throw new TypeError("only strings and tokens have a meaning here");
    });
  } catch {
    return refuse({ code: "selection-malformed", member: "" });
  }
  // RFC 9651 lets the last of two equal keys win; ours are refused. [SE2]
  if (header.replace(QUOTED_STRING, "").split(",").length !== members.length) {
    return refuse({ code: "selection-malformed", member: "" });
  }
  return toSelection(members);
}

/** Writes the header. */
export function formatSelection(selection: Selection): string {
  return serializeDictionary(selection as Record<string, string | number>);
}
