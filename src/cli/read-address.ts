/** Addresses and names as they are given to verbs. */
import { isName } from "../core/selection.ts";
import { optionInvalid } from "../process/command-options.ts";

/** An address in the one spelling that names its object; null for anything else. */
export function canonicalAddress(text: string): string | null {
  const url = URL.parse(`http://${text.includes(":") ? `[${text}]` : text}`);
  const name = url?.hostname ?? "";
  if (name.startsWith("[")) return name.slice(1, -1);
  return /^\d+(\.\d+){3}$/.test(text) && name === text ? text : null;
}

/** The same; throws `option-invalid`. */
export function readAddress(text: string): string {
  const ip = canonicalAddress(text);
  if (ip === null) throw optionInvalid(`${text} is no IP address, as in 192.0.2.1 or 2001:db8::1.`);
  return ip;
}

/** The name of what `kind` says; throws `option-invalid`. */
export function readName(kind: string, text: string): string {
  if (!isName(text))
    throw optionInvalid(`${text} cannot be the name of a ${kind}: those have 1 to 63 of a-z 0-9 . _ -.`);
  return text;
}
