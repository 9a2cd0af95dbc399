/** `ipshard plan`: how many addresses a load needs, and what that costs and saves. It asks nobody. [PN9] */
import { withExamples } from "../../process/command-options.ts";
import { writeFile } from "node:fs/promises";
import { DEFAULT_POOL_SETTINGS } from "../../core/pool-settings.ts";
import { USUAL_LOAD } from "../../plan/load.ts";
import { planFor, USUAL_ADDRESS_PRICE } from "../../plan/plan.ts";
import { pictureOf } from "../../plan/plan-picture.ts";
import { textOf } from "../../plan/plan-text.ts";
import { CommandFault } from "../../process/command-fault.ts";
import { newVerb } from "../options.ts";
import { print } from "../output/print.ts";
import { type LoadWords, readLoad, readNumber } from "../planning/read-load.ts";

interface Words extends LoadWords {
  readonly growth: string;
  readonly addresses?: string;
  readonly addressPrice: string;
  readonly json?: true;
  readonly svg?: string;
}

const WHOLE_ADDRESSES = { least: 1, most: 1_000_000, isWhole: true };

/** The verb. */
export const plan = withExamples(
  newVerb("plan", "say how many addresses a load needs, what they cost and what they save"),
  [
    "plan --hosts 31 --connections-per-second 1000",
    "plan --sites fra:120,ams:80 --connections-per-second 9000 --lasting 5m --json",
  ],
)
  .requiredOption("--connections-per-second <number>", "connections that all hosts begin, on average")
  .option("--hosts <number>", "hosts that there are")
  .option("--sites <list>", "the same for each site, as in fra:120,ams:80: sites share no address")
  .option(
    "--peak-factor <number>",
    `the busiest seconds, compared with the average (default: ${USUAL_LOAD.peakFactor})`,
  )
  .option("--lasting <time>", "how long a connection lasts on average, as in 500ms, 30s, 5m (default: 60s)")
  .option(
    "--busiest-share <part>",
    `part of them that goes to the busiest destination (default: ${USUAL_LOAD.busiestShare})`,
  )
  .option(
    "--spread <part>",
    `how unlike hosts are: standard deviation of their loads, as a part of the mean (default: ${USUAL_LOAD.spread})`,
  )
  .option(
    "--waves <number>",
    `waves of its own that a host has in a day (default: ${USUAL_LOAD.wavesPerDay})`,
  )
  .option("--growth <part>", "growth in a month, as in 0.05", "0")
  .option("--addresses <number>", "addresses that there are (default: as many as are recommended)")
  .option(
    "--address-price <dollars>",
    "of an address in a month; usual at large clouds: $0.005 an hour",
    `${USUAL_ADDRESS_PRICE}`,
  )
  .option("--svg <file>", "draw addresses over load into this file")
  .option("--json", "print the plan for machines")
  .action(async ({ growth: growthText, addresses, addressPrice: priceText, json, svg, ...words }: Words) => {
    const load = readLoad(words);
    const growth = readNumber("--growth", growthText, { least: 0, most: 100 });
    const addressPrice = readNumber("--address-price", priceText, { least: 0, most: 1_000_000 });
    const addressCount =
      addresses === undefined ? null : readNumber("--addresses", addresses, WHOLE_ADDRESSES);
    const settings = DEFAULT_POOL_SETTINGS;
    const made = planFor(load, { settings, addressPrice, growth, addressCount });
    if (svg !== undefined) await draw(svg, pictureOf(load, settings));
    await print(
      json === true
        ? JSON.stringify({ load, plan: made }, null, 2)
        : textOf(made, load, { addressPrice, growth }),
    );
  });

async function draw(file: string, picture: string): Promise<void> {
  try {
    await writeFile(file, picture);
  } catch (fault) {
    const { message } = fault as Error;
    throw new CommandFault(
      "output-failed",
      `The picture cannot be written: ${message}. Choose another file for --svg.`,
      fault,
    );
  }
}
