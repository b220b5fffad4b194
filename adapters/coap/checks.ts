import type { Option } from './codec.ts'
import { code, option } from './codes.ts'
import type { Response } from './exchange.ts'
import { wrong } from './reasons.ts'

/** What a request may carry that must be understood, and how long it may be (RFC 7252 §5.10). */
const critical = new Map<number, { readonly maxBytes: number; readonly repeats?: true }>([
  [option.uriHost, { maxBytes: 255 }],
  [option.uriPort, { maxBytes: 2 }],
  [option.uriPath, { maxBytes: 255, repeats: true }],
  [option.uriQuery, { maxBytes: 255, repeats: true }],
  [option.accept, { maxBytes: 2 }],
  [option.block2, { maxBytes: 3 }],
  [option.block1, { maxBytes: 3 }],
])

/**
 * RFC 7252 §5.4.1: an option that must be understood and is not. One that is too long, or comes once
 * too often, counts as not understood (§5.4.3, §5.4.5).
 */
export function optionFault(options: readonly Option[]): Response | undefined {
  let last = -1
  for (const { number, value } of options) {
    const again = number === last
    last = number
    if ((number & 1) === 0) continue
    if (number === option.proxyUri || number === option.proxyScheme) {
      return wrong(code.proxyingNotSupported, 'this is no proxy')
    }
    const known = critical.get(number)
    if (known !== undefined && value.length <= known.maxBytes && (!again || known.repeats)) continue
    return wrong(code.badOption, `option ${number}`)
  }
  return undefined
}
