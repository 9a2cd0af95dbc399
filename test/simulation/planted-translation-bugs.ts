/** Bugs in what the kernel translates, and in what the division, the keeper and the guard do for it. */
import type { PlantedBug } from "./planted-bugs.ts";

const TRANSLATED = "src/agent/translation/translated-part.ts";
const DIVIDED = "src/agent/division/divided-ports.ts";
const WISHES = "src/agent/machine/guard-wishes.ts";

/** They matter only where kernels translate for containers. */
export const BUGS_OF_TRANSLATION: readonly PlantedBug[] = [
  {
    name: "block-given-back-with-entries",
    laws: ["entries", "parts"],
    file: TRANSLATED,
    from: "    if (ended.size > 0) await kernel.endEntries(ip, ended);\n",
    to: "",
  },
  {
    name: "confirmed-before-the-kernel-follows",
    laws: ["parts", "entries", "guard"],
    file: TRANSLATED,
    from: "    const held = new Set(this.#unitsOf(command, () => true));\n",
    to: "    const held = new Set(this.#unitsOf(command, () => true));\n    this.#confirm(command.number);\n",
  },
  {
    name: "released-before-it-is-not-tracked",
    laws: ["parts", "law 7"],
    file: TRANSLATED,
    from: "    await this.#track(new Set([...held].filter((unit) => !left.includes(unit))));\n",
    to: "",
  },
  {
    name: "entries-outlive-the-lease",
    laws: ["entries"],
    file: TRANSLATED,
    from: "if (ended.size > 0) await",
    to: "if (ended.size > 0 && !isOver) await",
  },
  {
    name: "chosen-before-it-is-tracked",
    laws: ["guard"],
    file: TRANSLATED,
    from: "    await this.#begin(new Set([...held].filter((unit) => !this.#tracked.has(unit))));\n    await this.#choose(command);\n",
    to: "    await this.#choose(command);\n    await this.#begin(new Set([...held].filter((unit) => !this.#tracked.has(unit))));\n",
  },
  {
    name: "unit-let-go-on-a-stale-listing",
    laws: ["law 7"],
    file: TRANSLATED,
    from: "    if (this.#countsKnowOf < this.#choiceCount) return [];\n",
    to: "",
  },
  {
    name: "translated-flows-not-reported",
    laws: ["law 7"],
    file: TRANSLATED,
    from: "const count = this.#flowsOf(unit);\n        return count === 0 ?",
    to: "const count = this.#flowsOf(unit);\n        return count < 1e9 ?",
  },
  {
    name: "inherited-units-end-with-the-term",
    laws: ["law 7"],
    shownBy: ["kill-host"],
    file: TRANSLATED,
    from: "if (command.term !== null && (command.isHostUsable || command.units.length > 0))",
    to: "if (command.term !== null)",
  },
  {
    name: "claims-forgotten",
    laws: ["law 7", "parts"],
    shownBy: ["kill-host"],
    file: DIVIDED,
    from: "    for (const unit of claimed ?? []) this.#claims.set(unit, part);\n",
    to: "",
  },
  {
    name: "spare-held-back-though-in-use",
    laws: ["law 7"],
    shownBy: ["kill-host"],
    file: "src/agent/leasing/lease-holdings.ts",
    from: "![...unitsOf(lease)].some((unit) => this.#unitsInUse.has(unit))",
    to: "![...unitsOf(lease)].some((unit) => unit < 0)",
  },
  {
    name: "restart-silences-containers",
    laws: ["law 7"],
    shownBy: ["kill-host"],
    file: "test/simulation/host.ts",
    from: "  if (!guard.hasRunningFlows(ip)) await guard.allow(ip, [], null);",
    to: "  await guard.allow(ip, [], null);",
  },
  {
    name: "found-translations-forgotten-by-the-guard",
    laws: ["law 7", "guard"],
    shownBy: ["kill-host"],
    file: WISHES,
    from: "new Map(found.map(({ ip, translated }) => [ip, translated]))",
    to: "new Map()",
  },
  {
    name: "guard-not-told-of-translation",
    laws: ["guard"],
    file: WISHES,
    from: "    if (wish === undefined) return;\n",
    to: "    if (wish === undefined || units.length > 0) return;\n",
  },
];
