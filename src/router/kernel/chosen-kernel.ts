/**
 * The kernel by the back end that the operator names, or by XDP where this machine can do it well and by nft where
 * it cannot. [RT15] [RT16]
 *
 * The other back end's rules go only when all of the new one's stand, so no packet meets neither. While both stand a packet
 * is steered by the one that it comes to first, which is XDP, and both send it to the same host.
 */
import type { SteeringTable } from "../../core/steering.ts";
import { KernelFault } from "../../linux/kernel-commands.ts";
import type { RouterConfig } from "../steering/router-config.ts";
import type { Steering } from "../steering/steering-choice.ts";
import type { DropCounts, RepairReport, SteeringDelta, SteeringKernel } from "../steering/steering-kernel.ts";
import { type KernelCommands, PLAIN_COMMANDS } from "./kernel-tools.ts";
import { NftKernel } from "./nft-kernel.ts";
import { XdpKernel } from "./xdp-kernel.ts";

/** What is chosen by, and who is told of it. */
export interface ChosenKernelOptions {
  readonly config: RouterConfig;
  readonly steering: Steering;
  readonly commands?: KernelCommands;
  /** Where XDP pins what it has. */
  readonly pinDirectory: string;
  /** Told which back end steers, and why; once for each change of that. */
  readonly onChoice: (choice: { readonly backEnd: "xdp" | "nft"; readonly sentence: string }) => void;
}

/** One per router. */
export class ChosenKernel implements SteeringKernel {
  readonly #options: ChosenKernelOptions;
  readonly #nft: NftKernel;
  readonly #xdp: XdpKernel;
  #inForce: SteeringKernel | null = null;
  #told = "";

  constructor(options: ChosenKernelOptions) {
    const { config, commands = PLAIN_COMMANDS, pinDirectory, steering } = options;
    this.#options = options;
    this.#nft = new NftKernel(config, commands);
    this.#xdp = new XdpKernel({
      config,
      commands,
      pinDirectory,
      isStrict: steering === "auto",
      onSlow: (sentence) => this.#tell("xdp", sentence),
    });
  }

  async repair(table: SteeringTable): Promise<RepairReport> {
    const { steering } = this.#options;
    if (steering === "nft") return this.#repairByNft(table, "as --steering says");
    try {
      return await this.#repairByXdp(table);
    } catch (fault) {
      if (steering === "xdp" || !isForNft(fault)) throw fault;
      return this.#repairByNft(table, firstLine(fault.message));
    }
  }

  apply(delta: SteeringDelta): Promise<void> {
    if (this.#inForce === null) throw new Error("a kernel that was never repaired cannot apply a change");
    return this.#inForce.apply(delta);
  }

  async isInForce(areRoutesIncluded = true): Promise<boolean> {
    return this.#inForce !== null && this.#inForce.isInForce(areRoutesIncluded);
  }

  counts(): Promise<DropCounts> {
    return (this.#inForce ?? this.#nft).counts();
  }

  async remove(): Promise<void> {
    await this.#xdp.remove();
    await this.#nft.remove();
    this.#inForce = null;
  }

  async close(): Promise<void> {
    await this.#xdp.close();
    await this.#nft.close();
  }

  async #repairByXdp(table: SteeringTable): Promise<RepairReport> {
    const report = await this.#xdp.repair(table);
    await this.#nft.withdraw();
    this.#inForce = this.#xdp;
    const { steering } = this.#options;
    const why = steering === "auto" ? "the kernel, the drivers and the tools allow it" : "as --steering says";
    this.#tell("xdp", why);
    return report;
  }

  async #repairByNft(table: SteeringTable, why: string): Promise<RepairReport> {
    const report = await this.#nft.repair(table);
    await this.#xdp.withdraw();
    this.#inForce = this.#nft;
    this.#tell("nft", why);
    return report;
  }

  #tell(backEnd: "xdp" | "nft", sentence: string): void {
    if (this.#told === `${backEnd} ${sentence}`) return;
    this.#told = `${backEnd} ${sentence}`;
    this.#options.onChoice({ backEnd, sentence });
  }
}

/** Whether the other back end may do better; a device that is missing is missing for both. [RT14] */
function isForNft(fault: unknown): fault is Error {
  if (fault instanceof KernelFault) return fault.code !== "device-missing";
  // Of files: who may administer the network need not be able to pin a program.
  return fault instanceof Error && typeof (fault as NodeJS.ErrnoException).code === "string";
}

function firstLine(text: string): string {
  return text.split("\n", 1)[0]!;
}
