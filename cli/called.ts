/**
 * How whoever reads our words calls us: `npx pike` in a clone, where a shell knows no `pike`. npm
 * says in the environment by which of its commands it runs us.
 */
export const pikeAsCalled = (npmCommand = process.env.npm_command): string =>
  ['exec', 'start', 'run', 'run-script'].includes(npmCommand ?? '') ? 'npx pike' : 'pike'
