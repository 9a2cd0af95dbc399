/** A program for tests of processes: says that it is there, and ends as its argument says. */
const behaviours: Readonly<Record<string, () => void>> = {
  /** The default end by signal. */
  obedient: () => {},
  polite: () => process.on("SIGTERM", () => process.exit(0)),
  stubborn: () => process.on("SIGTERM", () => console.log("no")),
  dying: () => {
    console.log("last words");
    process.exit(3);
  },
};

behaviours[process.argv[2]!]!();
console.log(`started ${process.pid}`);
setInterval(() => {}, 1_000);
