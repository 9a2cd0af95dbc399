import { CommandFault } from "../../process/command-fault.ts";

/** Prints the result of a command; a file or pipe that does not take it is a failure of the command. [CI1] */
export async function print(result: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const fail = (fault: Error): void =>
      reject(new CommandFault("output-failed", `The result cannot be written: ${fault.message}`, fault));
    process.stdout.on("error", fail);
    process.stdout.write(`${result}\n`, (fault) => (fault ? fail(fault) : resolve()));
  });
}
