/** What is to be planned for, read from the words of a command line. [PN9] */
import { isName } from "../../core/selection.ts";
import { type PlannedLoad, type PlannedSite, USUAL_LOAD } from "../../plan/load.ts";
import type { CommandFault } from "../../process/command-fault.ts";
import { optionInvalid, readDuration } from "../../process/command-options.ts";

/** The options of `plan` as they were written; what is not said is undefined. */
export interface LoadWords {
  readonly hosts?: string;
  readonly sites?: string;
  readonly connectionsPerSecond: string;
  readonly peakFactor?: string;
  readonly lasting?: string;
  readonly busiestShare?: string;
  readonly spread?: string;
  readonly waves?: string;
}

interface Bounds {
  readonly least: number;
  readonly most: number;
  readonly isWhole?: boolean;
}

const NUMBER = /^\d{1,12}(\.\d{1,6})?$/;
const MOST_HOSTS = 1_000_000;
const MOST_PER_SECOND = 1e9;
const LASTING = { leastMs: 1, mostMs: 30 * 86_400_000 };

/** The load; throws `option-invalid`, naming the option. */
export function readLoad(words: LoadWords): PlannedLoad {
  const rate = readNumber("--connections-per-second", words.connectionsPerSecond, {
    least: 0.001,
    most: MOST_PER_SECOND,
  });
  return {
    sites: readSites(words),
    connectionsPerSecond: rate,
    peakFactor: given("--peak-factor", words.peakFactor, USUAL_LOAD.peakFactor, { least: 1, most: 1000 }),
    lastingMs:
      words.lasting === undefined ? USUAL_LOAD.lastingMs : readDuration("--lasting", words.lasting, LASTING),
    busiestShare: given("--busiest-share", words.busiestShare, USUAL_LOAD.busiestShare, {
      least: 0.0001,
      most: 1,
    }),
    spread: given("--spread", words.spread, USUAL_LOAD.spread, { least: 0, most: 10 }),
    wavesPerDay: given("--waves", words.waves, USUAL_LOAD.wavesPerDay, { least: 0, most: 1000 }),
  };
}

/** A number of an option within its bounds; throws `option-invalid`. */
export function readNumber(option: string, text: string, { least, most, isWhole = false }: Bounds): number {
  const value = NUMBER.test(text) ? Number(text) : NaN;
  if (value >= least && value <= most && (!isWhole || Number.isInteger(value))) return value;
  const kind = isWhole ? "a whole number" : "a number";
  throw invalid(option, text, `${kind} from ${least} to ${most}`);
}

function given(option: string, text: string | undefined, usual: number, bounds: Bounds): number {
  return text === undefined ? usual : readNumber(option, text, bounds);
}

function readSites({ hosts, sites }: LoadWords): readonly PlannedSite[] {
  const bounds = { least: 1, most: MOST_HOSTS, isWhole: true };
  const hostCount = hosts === undefined ? null : readNumber("--hosts", hosts, bounds);
  if (sites === undefined) {
    if (hostCount !== null) return [{ site: null, hostCount }];
    throw optionInvalid(
      "How many hosts there are is missing; say it as --hosts 31, or for each site as --sites fra:20,ams:11.",
    );
  }
  const read = sites.split(",").map((part): PlannedSite => {
    const [site = "", count = "", ...rest] = part.split(":");
    if (!isName(site) || rest.length > 0)
      throw invalid("--sites", sites, "sites with their numbers of hosts, such as fra:120,ams:80");
    return { site, hostCount: readNumber(`--sites ${site}`, count, bounds) };
  });
  if (new Set(read.map(({ site }) => site)).size < read.length)
    throw invalid("--sites", sites, "sites that each stand there once");
  const inSites = read.reduce((sum, site) => sum + site.hostCount, 0);
  if (hostCount !== null && hostCount !== inSites)
    throw optionInvalid(
      `--hosts is ${hostCount}, but the sites have ${inSites} hosts; leave --hosts away, or make both the same.`,
    );
  return read;
}

function invalid(option: string, value: string, wanted: string): CommandFault {
  return optionInvalid(`${option} is ${JSON.stringify(value)}; it must be ${wanted}.`);
}
