import { fixed } from './figures.ts'

/** One line that says whether a figure is what was promised; short of it the exit code is 1. */
export function verdict(
  what: string,
  value: number,
  target: number,
  aim: number | undefined,
  digits: number,
  better: 'more' | 'less' = 'more',
): void {
  const meets = (bound: number): boolean => (better === 'more' ? value >= bound : value <= bound)
  const sign = better === 'more' ? '≥' : '≤'
  const word =
    aim !== undefined && meets(aim) ? 'MET, and the aim' : meets(target) ? 'MET' : 'SHORT'
  if (!meets(target)) process.exitCode = 1
  const aimed = aim === undefined ? '' : `, aim ${sign} ${fixed(aim, digits)}`
  console.log(
    `${word}: ${fixed(value, digits)} ${what} (target ${sign} ${fixed(target, digits)}${aimed})`,
  )
}
