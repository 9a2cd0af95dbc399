/**
 * The environment of a person's shell, for tests that do what a person types. It has nothing of what npm
 * says to its children, and tests run below npm: a program that npm has started ends with it. [AG5]
 */
export function personEnvironment(): NodeJS.ProcessEnv {
  const isForeign = (name: string): boolean => /^(?:npm_|IPSHARD_)|^INIT_CWD$/i.test(name);
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !isForeign(name)));
}
