/** An entry of a list of destinations: `HOST[:PORTS]`, as `core/pool-policy.ts` has it. */
import { PORT_END } from "../core/port-block.ts";

/** The longest name has 253 characters, and a range of ports 12. */
const LONGEST = 300;
const SHAPE = /^(?:\[([\da-f:.]+(?:\/\d{1,3})?)\]|([^\s:[\]]+))(?::(\d{1,5})(?:-(\d{1,5}))?)?$/i;
const BARE_IPV6 = /^[\da-f:.]*:[\da-f:.]*:[\da-f:.]*(?:\/\d{1,3})?$/i;

/** Whether it can be an entry. What it means is for whoever decides by it. */
export function isDestinationEntry(text: string): boolean {
  if (text.length > LONGEST || !/^[\x21-\x7e]+$/.test(text)) return false;
  if (BARE_IPV6.test(text)) return true;
  const shape = SHAPE.exec(text);
  if (shape === null) return false;
  const [, , , first = "1", last = first] = shape;
  return Number(first) >= 1 && Number(last) < PORT_END && Number(first) <= Number(last);
}
