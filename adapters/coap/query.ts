import type { Stamp } from '../../src/contract/index.ts'
import type { Option } from './codec.ts'
import { option } from './codes.ts'

/** Names come from outside, so they are keys of a Map. The first of a name counts. */
export type Query = ReadonlyMap<string, string>

export function queryOf(options: readonly Option[]): Query {
  const query = new Map<string, string>()
  for (const { number, value } of options) {
    if (number !== option.uriQuery) continue
    const text = value.toString()
    const at = text.indexOf('=')
    const name = at < 0 ? text : text.slice(0, at)
    if (!query.has(name)) query.set(name, at < 0 ? '' : text.slice(at + 1))
  }
  return query
}

export function pathOf(options: readonly Option[]): readonly string[] {
  const path: string[] = []
  for (const { number, value } of options) {
    if (number === option.uriPath) path.push(value.toString())
  }
  return path
}

/** `epoch.sequence`, rule 17. 'malformed': there is one that is none. */
export function stampOf(query: Query): Stamp | 'malformed' | undefined {
  const text = query.get('stamp')
  if (text === undefined) return undefined
  const match = /^([1-9][0-9]{0,9})\.([1-9][0-9]{0,15})$/.exec(text)
  if (match === null) return 'malformed'
  const epoch = Number(match[1])
  const sequence = Number(match[2])
  if (epoch > 0xffff_ffff || !Number.isSafeInteger(sequence)) return 'malformed'
  return { epoch, sequence }
}

/** Whole seconds, as ms. 'malformed': there is one that is none. */
export function secondsOf(query: Query, name: string): number | 'malformed' | undefined {
  const text = query.get(name)
  if (text === undefined) return undefined
  return /^[0-9]{1,9}$/.test(text) ? Number(text) * 1000 : 'malformed'
}
