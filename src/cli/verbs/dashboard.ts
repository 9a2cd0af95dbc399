/** `ipshard dashboard`: a link to the edge's page that signs in once. [DA4] */
import { withExamples } from "../../process/command-options.ts";
import { operatorFor, type OperatorWords, withOperator } from "../credentials/operator.ts";
import { signInLink } from "../credentials/sign-in-link.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

/** The verb. */
export const dashboard = withExamples(
  withOperator(
    newVerb(
      "dashboard",
      "print a link to the edge's page that signs in once, within 5 minutes; by a viewer's token it only shows",
    ),
  )
    .addOption(jsonOption())
    .action(async ({ json, ...by }: OperatorWords & { readonly json?: true }) => {
      const { api, edge } = await operatorFor(by);
      const { code, endsAt } = await api.makeSignInCode();
      const url = signInLink(edge, code);
      await answer(json, { url, endsAt }, () => url);
    }),
  ["dashboard", "dashboard --token-file viewer.token --edge https://edge.example.com", "dashboard --json"],
);
