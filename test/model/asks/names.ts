import fc from 'fast-check'

/** Few names, so that they meet; `constructor` and `__proto__` are names too where they may be. */
export const deviceName = fc.constantFrom(
  ...new Array<string>(12).fill('d1'),
  ...new Array<string>(5).fill('d2'),
  'd3',
  'constructor',
)
export const aliasName = fc.constantFrom('a1', 'a1', 'a2', 'a3', 'toString')
export const tagName = fc.constantFrom('t1', 't1', 't2', 'valueOf')
export const appName = fc.constantFrom('default', 'other', 'third', 'third', 'fourth', 'fifth')
export const keyName = fc.constantFrom('root', 'n1', 'n2', 'n3', 'n4', 'n5')
export const webhookName = fc.constantFrom('w1', 'w2', 'w3', 'callbacks')

/** Who calls: below 80 somebody who may, below 95 anybody, then nobody. */
export const as = fc.oneof(
  { weight: 9, arbitrary: fc.nat(79) },
  { weight: 1, arbitrary: fc.integer({ min: 80, max: 99 }) },
)

export const nth = <T>(all: readonly T[], n: number): T | undefined =>
  all[n % Math.max(1, all.length)]
