/** Set by npm, by our own programs' users, by continuous integration, and by who wants colours or none. */
const FOREIGN = /^(?:npm_.*|IPSHARD_.*|INIT_CWD|CI|NO_COLOR|FORCE_COLOR|NODE_DISABLE_COLORS)$/i;

/**
 * The environment of a person's shell, for tests that do what a person types. It has nothing of what npm
 * says to its children, and tests run below npm: a program that npm has started ends with it. [AG5]
 * Nor has it what says how colours are to be: with `CI` set, Node.js takes a terminal for one without.
 */
export function personEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !FOREIGN.test(name)));
}
