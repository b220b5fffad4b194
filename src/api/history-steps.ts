import type { DeviceKey, HistoryQuery, Mailbox } from '../contract/index.ts'
import { apiBounds } from './bounds.ts'
import { Gate } from './gate.ts'
import { commandJson, foundStatus } from './views.ts'

/** Pages under way hold what they read until they are written. */
const pages = new Gate(apiBounds.pagesAtOnce)

/** A page of a device's commands as JSON text: see {@link readHistory}. */
export const historyPage = (
  mailbox: Pick<Mailbox, 'history'>,
  device: DeviceKey,
  query: HistoryQuery,
): Promise<string> => pages.run(() => readHistory(mailbox, device, query))

/**
 * Read in steps until it has as many commands as were asked for or is as large as a page may be:
 * replies may be large, and what will not be told is not read.
 */
async function readHistory(
  mailbox: Pick<Mailbox, 'history'>,
  device: DeviceKey,
  query: HistoryQuery,
): Promise<string> {
  const texts: string[] = []
  let chars = 0
  let { after } = query
  for (;;) {
    const limit = Math.min(query.limit - texts.length, apiBounds.historyReadCommands)
    const page = await mailbox.history(device, {
      ...query,
      ...(after !== undefined && { after }),
      limit,
    })
    for (const found of page.items) {
      const text = commandJson(foundStatus(found))
      texts.push(text)
      chars += text.length
    }
    after = page.next
    const full = texts.length >= query.limit || chars >= apiBounds.pageMaxBytes
    // A read that filled no step looked as far as it may.
    if (full || after === undefined || page.items.length < limit) break
  }
  return `{"items":[${texts.join(',')}],"next":${JSON.stringify(after ?? null)}}`
}
