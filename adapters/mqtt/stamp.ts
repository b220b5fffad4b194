import type { Stamp } from '../../src/contract/index.ts'

const form = /^([1-9][0-9]{0,9})\.([1-9][0-9]{0,15})$/

/** `epoch.sequence`, both decimal. undefined: it is no stamp. */
export function stampOf(text: string): Stamp | undefined {
  const match = form.exec(text)
  if (match === null) return undefined
  const epoch = Number(match[1])
  const sequence = Number(match[2])
  return epoch <= 0xffff_ffff && Number.isSafeInteger(sequence) ? { epoch, sequence } : undefined
}
