import type { Reason } from '../../src/contract/index.ts'
import { reasons } from '../../src/contract/index.ts'
import { type CloseFrame, closeCode } from './frames.ts'

/** The contract's reasons in Pike's numbers; one left out does not compile. */
const codes: Record<Reason, number> = closeCode

const byCode = new Map<number, Reason>(
  (Object.keys(codes) as Reason[]).map((reason) => [codes[reason], reason]),
)

export const codeOf = (reason: Reason): number => codes[reason]

/** undefined: a code of a version to come; its range still says what to do. */
export const reasonOf = (code: number): Reason | undefined => byCode.get(code)

/** @param channelNumber undefined: the whole connection. */
export const closeFrame = (
  channelNumber: number | undefined,
  reason: Reason,
  text: string | undefined,
  retryAfterMs: number | undefined,
): CloseFrame => ({
  type: 'close',
  channelNumber,
  code: codeOf(reason),
  retryAfterS: Math.ceil((retryAfterMs ?? 0) / 1000),
  text: text ?? reasons[reason].text,
})
