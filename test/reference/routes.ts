/** The reference of the edge's API, from the table of routes. */
import type { ApiRoute } from "../../src/api/route-shapes.ts";
import { ROUTES } from "../../src/api/routes.ts";
import { code, document, table } from "./markdown.ts";
import { kindOf, membersOf, shapeOf } from "./shape.ts";

const INTRODUCTION = `What the edge answers in JSON. Send \`authorization: Bearer TOKEN\`; what it refuses is a problem document
(\`application/problem+json\`) with a code ([errors](errors.md)). A running edge describes the same at \`/openapi.json\`.

Besides these the edge has \`/v1/fetch\` and \`/v1/tcp\` for clients ([README](../../README.md), [PROXY](../PROXY.md)), \`/health\`,
\`/.well-known/jwks.json\`, the lists of addresses below \`/.well-known/\` that a pool may publish
([OPERATING](../operating/day-to-day.md#telling-partners-your-addresses)), and the WebSockets of agents and routers.`;

function takenRows({ request = {} }: ApiRoute): string[][] {
  const parts = [
    ["path", request.params],
    ["query", request.query],
    ["body", request.body?.content["application/json"].schema],
  ] as const;
  return parts.flatMap(([place, schema]) =>
    schema === undefined
      ? []
      : membersOf(shapeOf(schema)).map(({ path, shape, isRequired }) => [
          code(path),
          place,
          kindOf(shape) + (isRequired || place === "path" ? "" : ", optional"),
          shape.description ?? "",
        ]),
  );
}

function section([name, route]: readonly [string, ApiRoute]): string {
  const { method, path, summary, responses } = route;
  const taken = takenRows(route);
  const { description, content } = responses[200];
  const answered = membersOf(shapeOf(content["application/json"].schema, "output"));
  const told = answered.map((member) => [
    code(member.path),
    kindOf(member.shape),
    member.shape.description ?? "",
  ]);
  return [
    `### ${name}`,
    `${code(`${method.toUpperCase()} ${path}`)}: ${summary}.`,
    ...(taken.length === 0 ? [] : [table(["takes", "in", "which is", "means"], taken)]),
    `Answers: ${description}`,
    ...(told.length === 0
      ? []
      : ["<details><summary>Its members</summary>", table(["member", "is", "means"], told), "</details>"]),
  ].join("\n\n");
}

/** The whole of it. */
export function apiReference(): string {
  const routes = Object.entries<ApiRoute>(ROUTES);
  const overview = routes.map(([name, { method, path, summary }]) => [
    code(`${method.toUpperCase()} ${path}`),
    `[${summary}](#${name.toLowerCase()})`,
  ]);
  return document("The API of the edge", INTRODUCTION, [
    "## All routes",
    table(["route", "does"], overview),
    "## Each route",
    ...routes.map(section),
  ]);
}
