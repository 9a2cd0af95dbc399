/** `ipshard map ADDRESS`: the port map of an address in the terminal. [OV6] */
import { mapText } from "../administration/lease-text.ts";
import { readAddress } from "../read-address.ts";
import { operatorFor, type OperatorWords, withOperator } from "../credentials/operator.ts";
import { withExamples } from "../../process/command-options.ts";
import { newVerb } from "../options.ts";
import { answer, jsonOption } from "../output/answer.ts";

/** The verb. */
export const map = withExamples(
  withOperator(newVerb("map", "draw which host has which ports of an address"))
    .argument("<address>", "one of a pool")
    .addOption(jsonOption())
    .action(async (text: string, { json, ...by }: OperatorWords & { json?: true }) => {
      const ip = readAddress(text);
      const found = await (await operatorFor(by)).api.getIp({ ip });
      await answer(json, found, () => mapText(ip, found));
    }),
  ["map 192.0.2.1", "map 2001:db8::1 --json"],
);
