/** Finds the titles of tests in their source, behind tables of cases too. */

/** The index after a string, a template, a comment or a regular expression that begins here; `at` if none does. */
function endOfLiteral(code: string, at: number): number {
  const rest = code.slice(at);
  const literal =
    /^(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\[^])*`|\/\/.*|\/\*[^]*?\*\/)/.exec(rest) ??
    // A slash after a sign that can end no value begins a regular expression.
    (/[([{,=:?&|!;]\s*$/.test(code.slice(0, at))
      ? /^\/(?:[^/\\\n[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+\//.exec(rest)
      : null);
  return at + (literal?.[0].length ?? 0);
}

/** The index after the parenthesis that closes the one at `open`. */
function endOfParentheses(code: string, open: number): number {
  let depth = 0;
  for (let at = open; at < code.length;) {
    const end = endOfLiteral(code, at);
    if (end > at) {
      at = end;
      continue;
    }
    if (code[at] === "(") depth += 1;
    if (code[at] === ")") depth -= 1;
    at += 1;
    if (depth === 0) return at;
  }
  return code.length;
}

/** The first argument of every test in a file, as it is written there. */
export function titlesIn(code: string): string[] {
  const titles: string[] = [];
  for (const found of code.matchAll(/^[ \t]*(?:test|it)((?:\.\w+)*)(?:<[^>\n]*>)?(?=[(`])/gm)) {
    const open = found.index + found[0].length;
    const isTable = /\.(each|for)$/.test(found[1]!);
    const start = (isTable ? endOfParentheses(code, open) : open) + 1;
    titles.push(code.slice(start).trimStart().split("\n")[0]!);
  }
  return titles;
}
