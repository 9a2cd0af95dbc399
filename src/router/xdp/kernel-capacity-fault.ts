/** More is to be steered than the program's maps have place for. */
export class KernelCapacityFault extends Error {
  override readonly name = "KernelCapacityFault";
}
