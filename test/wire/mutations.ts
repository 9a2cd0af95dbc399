/**
 * Valid JSON broken on purpose, with an eye for its structure: members that are gone, doubled,
 * renamed or of another kind, numbers and texts that JSON can spell and programs trip over,
 * nesting without end, and text that ends too soon.
 */
import * as fc from "fast-check";

/** JSON as it is to be written, so that it can hold what no value in memory can. */
type Node =
  | { readonly kind: "raw"; text: string }
  | { readonly kind: "list"; items: Node[] }
  | { readonly kind: "members"; members: { key: string; value: Node }[] };

const DEEP = 3_000;

/** Spelled as they would stand in a message; some are no JSON at all. */
const STRANGERS: readonly string[] = [
  "null",
  "true",
  "false",
  "[]",
  "{}",
  "[[]]",
  '""',
  '"x"',
  '"0"',
  "[null]",
  '{"type":"renew"}',
  "0",
  "-0",
  "1",
  "-1",
  "0.5",
  "1.0",
  "1e2",
  "64",
  "1024",
  "65535",
  "65536",
  "4294967296",
  "9007199254740991",
  "9007199254740993",
  "-9007199254740993",
  "1e308",
  "1e999",
  "-1e999",
  "5e-324",
  "NaN",
  "Infinity",
  "undefined",
  "01",
  "+1",
  ".5",
  "1.",
  "0x10",
  '"NaN"',
  "'x'",
  "1_000",
  "1n",
  '"\\ud800"',
  '"\\udc00\\ud800"',
  '"\\u0000"',
  '"\\u2028"',
  '"\ufeff"',
  '"\\x"',
  '"\n"',
  '"é"',
  '"__proto__"',
  '"constructor"',
  '{"__proto__":{"polluted":1}}',
  '{"constructor":{"prototype":{}}}',
  `"${"x".repeat(129)}"`,
  `"${"x".repeat(5_000)}"`,
  `[${"0,".repeat(5_000)}0]`,
  "[".repeat(DEEP) + "]".repeat(DEEP),
  '{"a":'.repeat(DEEP) + "1" + "}".repeat(DEEP),
  "[".repeat(DEEP),
];
const KEYS: readonly string[] = [
  "__proto__",
  "constructor",
  "prototype",
  "toString",
  "hasOwnProperty",
  "then",
  "toJSON",
  "",
  "0",
  "length",
  "\ud800",
  "type",
  "Type",
  "type ",
  "version",
  "requestId",
  "extra",
];

const change = fc.record({
  how: fc.constantFrom("replace", "replace", "replace", "remove", "double", "add", "rename", "swap", "wrap"),
  at: fc.nat(),
  other: fc.nat(),
  stranger: fc.oneof(
    fc.constantFrom(...STRANGERS),
    fc.jsonValue({ maxDepth: 3 }).map((value) => JSON.stringify(value)),
  ),
  key: fc.oneof(fc.constantFrom(...KEYS), fc.string()),
});
type Change = typeof change extends fc.Arbitrary<infer Value> ? Value : never;

const cut = fc.record({
  how: fc.constantFrom("whole", "whole", "whole", "truncate", "insert", "append"),
  at: fc.nat(),
  piece: fc.oneof(
    fc.constantFrom("\0", "\ufeff", "\ud800", '"', "}", "]", ",", ":", "\\", "null", "/*x*/"),
    fc.string(),
  ),
});
type Cut = typeof cut extends fc.Arbitrary<infer Value> ? Value : never;

/** The text of a valid value after one to three changes, and then perhaps a cut. */
export function mutationsOf(valid: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  return fc
    .tuple(valid, fc.array(change, { minLength: 1, maxLength: 3 }), cut)
    .map(([value, changes, last]) => {
      const root: Node[] = [treeOf(value)];
      for (const current of changes) carryOut(root, current);
      return cutText(printed(root[0]!), last);
    });
}

/** What has no message in it at all. */
export const garbage: fc.Arbitrary<string> = fc.oneof(
  fc.string(),
  fc.json(),
  fc.constantFrom(...STRANGERS),
  fc.array(fc.constantFrom(...STRANGERS, ",", ":", "{", "}", "[", "]", '"')).map((pieces) => pieces.join("")),
);

function treeOf(value: unknown): Node {
  if (Array.isArray(value)) return { kind: "list", items: value.map(treeOf) };
  if (typeof value !== "object" || value === null) return { kind: "raw", text: JSON.stringify(value) };
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return { kind: "members", members: members.map(([key, member]) => ({ key, value: treeOf(member) })) };
}

function printed(node: Node): string {
  if (node.kind === "raw") return node.text;
  if (node.kind === "list") return `[${node.items.map(printed).join()}]`;
  return `{${node.members.map(({ key, value }) => `${JSON.stringify(key)}:${printed(value)}`).join()}}`;
}

/** Where a node stands, so that another can be put there. */
interface Place {
  readonly node: Node;
  readonly put: (node: Node) => void;
  readonly remove: () => void;
}

function placesIn(root: Node[]): Place[] {
  const places: Place[] = [];
  const visit = (list: Node[], at: number): void => {
    const node = list[at]!;
    places.push({ node, put: (other) => (list[at] = other), remove: () => list.splice(at, 1) });
    if (node.kind === "list") node.items.forEach((_item, index) => visit(node.items, index));
    if (node.kind !== "members") return;
    for (const member of node.members) {
      places.push({
        node: member.value,
        put: (other) => (member.value = other),
        remove: () => (node.members = node.members.filter((known) => known !== member)),
      });
      // Below a member, not the member again.
      const below: Node[] = [member.value];
      if (member.value.kind !== "raw") visit(below, 0);
    }
  };
  visit(root, 0);
  return places;
}

function carryOut(root: Node[], { how, at, other, stranger, key }: Change): void {
  const places = placesIn(root);
  const place = places[at % places.length]!;
  const raw: Node = { kind: "raw", text: stranger };
  const objects = places.flatMap(({ node }) => (node.kind === "members" ? [node] : []));
  const object = objects[other % Math.max(1, objects.length)];
  const member = object?.members[at % Math.max(1, object.members.length)];
  switch (how) {
    case "replace":
      return place.put(raw);
    case "remove":
      if (place.node !== root[0]) place.remove();
      return;
    case "double":
      if (member) object?.members.push({ key: member.key, value: other % 2 === 0 ? raw : member.value });
      return;
    case "add":
      object?.members.push({ key, value: raw });
      return;
    case "rename":
      if (member) member.key = key;
      return;
    case "swap":
      return place.put(copyOf(places[other % places.length]!.node));
    case "wrap":
      return place.put(
        other % 2 === 0
          ? { kind: "list", items: [place.node] }
          : { kind: "members", members: [{ key, value: place.node }] },
      );
  }
}

/** A copy, lest a node come to hold itself. */
function copyOf(node: Node): Node {
  return { kind: "raw", text: printed(node) };
}

function cutText(text: string, { how, at, piece }: Cut): string {
  const position = at % (text.length + 1);
  switch (how) {
    case "truncate":
      return text.slice(0, position);
    case "insert":
      return text.slice(0, position) + piece + text.slice(position);
    case "append":
      return text + piece;
    case "whole":
      return text;
  }
}
