/** What a verb answers: for people, or as JSON for machines where `--json` is given. [OV4] */
import { Option } from "commander";
import { printableJson } from "../../process/printable.ts";
import { print } from "./print.ts";

/** The option, as every verb that answers something has it. */
export function jsonOption(): Option {
  return new Option("--json", "print the answer for machines");
}

/** Prints one or the other. */
export async function answer(json: boolean | undefined, value: unknown, text: () => string): Promise<void> {
  await print(json === true ? printableJson(value, 2) : text());
}
