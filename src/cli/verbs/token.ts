/** `ipshard token`: signs tokens with the issuer's key, lists those that are registered, and revokes. */
import { decodeJwt } from "jose";
import { EdgeAnswerUnreadable, EdgeRefusal, EdgeUnreachable } from "../../api/errors.ts";
import { type IssuedRole, ISSUED_ROLES } from "../../core/identity.ts";
import { collect, optionInvalid, withExamples } from "../../process/command-options.ts";
import { issueToken, type TokenRequest } from "../credentials/issue-token.ts";
import { readKey } from "../credentials/key-files.ts";
import { operatorFor, type OperatorWords, readTokenFile, withOperator } from "../credentials/operator.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";
import { type Cell, printable, printableLines, table } from "../output/terminal-text.ts";
import { NEAR_END_MS } from "../../wire/token-end.ts";
import { StatePaths } from "../state-paths.ts";

interface IssueWords extends Omit<TokenRequest, "pools" | "ips" | "destinations">, OperatorWords {
  readonly pool: readonly string[];
  readonly ip: readonly string[];
  readonly destination: readonly string[];
  readonly json?: true;
}

interface ListWords extends OperatorWords {
  readonly json?: true;
  readonly key?: string;
}

interface RevokeWords extends OperatorWords {
  readonly json?: true;
  readonly file?: string;
  readonly name?: string;
  readonly role?: string;
  readonly tenant?: string;
}

const issue = withOperator(
  newVerb("issue", "sign a token with the issuer's key; with --edge it is registered there, too"),
)
  .requiredOption("--role <role>", ISSUED_ROLES.join(", "))
  .requiredOption("--name <name>", "whom it is for; for a host or a router, its name")
  .option("--pool <pool>", "a pool it may use, the first is its default; may be repeated", collect, [])
  .option("--tenant <name>", "the tenant for whom a client sends (default: a tenant of its own name)")
  .option(
    "--ip <address>",
    "an egress address that a client may leave from; may be repeated (default: all)",
    collect,
    [],
  )
  .option(
    "--destination <entry>",
    "a destination that a client may reach, such as *.example.com:443; may be repeated (default: all)",
    collect,
    [],
  )
  .option("--rate <number>", "requests in a second, at most")
  .option("--ttl <time>", "how long it is valid, as in 45s, 10m, 12h, 30d", "30d")
  .addOption(jsonOption())
  .action(async ({ pool, ip, destination, json, ...words }: IssueWords) => {
    const key = await readKey(new StatePaths(words.state), "issuer");
    const request = { ...words, pools: pool, ips: ip, destinations: destination };
    const signed = await issueToken(request, key, Date.now());
    await answer(json, { token: signed, id: decodeJwt(signed).jti }, () => signed);
    // Elsewhere than at the edge that is named nobody expects it to be noted.
    if (words.edge !== undefined) await registerAt(words, signed);
  });

const list = withOperator(newVerb("list", "list the tokens that are registered at the edge"))
  .option("--key <kid>", "only those that this key signed, as `keys list` shows it")
  .addOption(jsonOption())
  .action(async ({ json, key, ...by }: ListWords) => {
    const { api } = await operatorFor(by);
    const tokens: Awaited<ReturnType<typeof api.listTokens>>["tokens"][number][] = [];
    for (let after: string | null = ""; after !== null;) {
      const page: Awaited<ReturnType<typeof api.listTokens>> = await api.listTokens({ after });
      tokens.push(...page.tokens.filter(({ kid }) => key === undefined || kid === key));
      after = page.next;
    }
    const rows = tokens.map(({ id, role, name, tenant, pools, endsAtMs, kid, ...fate }) => [
      id,
      role,
      name,
      tenant ?? "",
      pools.join(","),
      timeOf(endsAtMs),
      stateOf({ endsAtMs, ...fate }),
      kid ?? "",
    ]);
    const head = ["ID", "ROLE", "NAME", "TENANT", "POOLS", "ENDS", "STATE", "KEY"];
    await answer(json, tokens, () => table(head, rows));
  });

/** Of whatever else is said to be revoked nobody would ever hear that it is no token. */
const TOKEN_ID = /^[\w-]{12}$/;

const revoke = withOperator(
  newVerb("revoke", "take tokens back before they end: by id, file, name or tenant"),
)
  .argument("[id]", "the id of a token, as it is listed")
  .option("--file <file>", "the file with the token itself, - for standard input")
  .option("--name <name>", "all registered tokens of this name")
  .option("--role <role>", "of these, only those of this role")
  .option("--tenant <name>", "all registered tokens of this tenant")
  .addOption(jsonOption())
  .action(async (id: string | undefined, { json, ...words }: RevokeWords) => {
    if (id !== undefined && !TOKEN_ID.test(id))
      throw optionInvalid(`${id} is no id of a token: those have 12 characters, as token list shows them.`);
    const wish = await wishOf(id, words);
    const { ids, pendingPools } = await (await operatorFor(words)).api.revokeTokens(wish);
    await answer(json, { ids, pendingPools }, () => printableLines(ids.join("\n")));
    const count = ids.length === 1 ? "1 token is" : `${ids.length} tokens are`;
    console.error(`${count} revoked: the edge, and hosts that hear it, refuse that within 10 s.`);
    if (pendingPools.length > 0)
      console.error(
        printable(`Not yet told, and told as soon as it can be done: ${pendingPools.join(", ")}.`),
      );
  });

/** The verb. Without a further word it signs. */
export const token = withExamples(
  newVerb("token", "sign tokens with the issuer's key; list and revoke them")
    .addCommand(issue, { isDefault: true })
    .addCommand(list)
    .addCommand(revoke),
  [
    "token issue --role client --name cart --tenant shop --pool eu --ttl 90d --edge https://edge.example.com",
    "token issue --role client --name nightly --tenant shop --pool eu --destination *.example.com:443 --rate 50",
    "token list",
    "token revoke --tenant shop",
    "token revoke --file shop.token",
  ],
);

/** A token counts all the same, so this is no failure of the command: its result is printed. */
async function registerAt(by: OperatorWords, signed: string): Promise<void> {
  try {
    await (await operatorFor(by)).api.registerToken({ token: signed });
  } catch (fault) {
    const isOfEdge =
      fault instanceof EdgeRefusal ||
      fault instanceof EdgeUnreachable ||
      fault instanceof EdgeAnswerUnreadable;
    if (!isOfEdge) throw fault;
    const { jti } = decodeJwt(signed);
    console.error(
      printable(
        `The token is good, and could not be registered: ${fault.message} It is not listed; it can be revoked by its id, ${jti}.`,
      ),
    );
  }
}

async function wishOf(
  id: string | undefined,
  { file, name, role, tenant }: RevokeWords,
): Promise<{
  id?: string;
  endsAtMs?: number;
  name?: string;
  role?: IssuedRole;
  tenant?: string;
}> {
  const given = [id, file, name, tenant].filter((word) => word !== undefined);
  if (given.length !== 1) throw optionInvalid("Say which: one of an id, --file, --name and --tenant.");
  if (id !== undefined) return { id };
  if (tenant !== undefined) return { tenant };
  if (name !== undefined) {
    const known = ISSUED_ROLES.find((one) => one === role);
    if (role !== undefined && known === undefined)
      throw optionInvalid(`--role ${role} is none of ${ISSUED_ROLES.join(", ")}.`);
    return known === undefined ? { name } : { name, role: known };
  }
  const { jti, exp } = decodeJwt(await readTokenFile(file!));
  if (jti === undefined || exp === undefined)
    throw optionInvalid("The token has no id: it ends by time, or when the key that signed it is retired.");
  return { id: jti, endsAtMs: exp * 1_000 };
}

function timeOf(atMs: number): string {
  return new Date(atMs).toISOString();
}

function stateOf({
  endsAtMs,
  revokedAtMs,
  keyRetiredAtMs,
}: {
  readonly endsAtMs: number;
  readonly revokedAtMs: number | null;
  readonly keyRetiredAtMs: number | null;
}): Cell {
  if (revokedAtMs !== null) return `revoked ${timeOf(revokedAtMs)}`;
  if (keyRetiredAtMs !== null) return `key retired ${timeOf(keyRetiredAtMs)}`;
  const leftMs = endsAtMs - Date.now();
  if (leftMs <= 0) return "ended";
  return leftMs < NEAR_END_MS ? { text: "ends soon", style: "yellow" } : "good";
}
