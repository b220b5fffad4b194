import { isProtocol, type ProtocolName, protocolNames } from '../protocols.ts'

export type Mix = ReadonlyMap<ProtocolName, number>

/** `pike=3,http=1`: of four devices three speak Pike. @returns a string: what is wrong. */
export function readMix(text: string): Mix | string {
  const mix = new Map<ProtocolName, number>()
  for (const part of text.split(',')) {
    const [name = '', share = '1'] = part.trim().split('=')
    if (!isProtocol(name))
      return `"${name}" is none of ${protocolNames.join(', ')}; write it like pike=3,http=1`
    const parts = Number(share)
    if (!Number.isInteger(parts) || parts < 1 || parts > 1_000)
      return `the share of ${name} must be a whole number above 0; write it like ${name}=3`
    mix.set(name, parts)
  }
  return mix
}

/** Who speaks what, in order: shares as exact as whole devices allow, and mixed. */
export function dealOut(mix: Mix, devices: number, random: () => number): ProtocolName[] {
  let total = 0
  for (const share of mix.values()) total += share
  const dealt: ProtocolName[] = []
  let seen = 0
  for (const [name, share] of mix) {
    seen += share
    while (dealt.length < Math.round((devices * seen) / total)) dealt.push(name)
  }
  for (let i = dealt.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    ;[dealt[i], dealt[j]] = [dealt[j]!, dealt[i]!]
  }
  return dealt
}

/** The value that this share of all lies at or below; undefined of nothing. */
export function percentile(values: readonly number[], share: number): number | undefined {
  if (values.length === 0) return undefined
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)]
}
