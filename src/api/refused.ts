import type { Addressee, KeyRecord } from '../contract/index.ts'
import type { ApiContext } from './context.ts'
import type { ProblemName } from './problems.ts'

/** Then there is no device to which it could be told. */
const ofNobody: ReadonlySet<ProblemName> = new Set(['unknown-device', 'unknown-alias'])

/**
 * A command that was not accepted is told in the trace of the device it was for: whoever asks why a
 * door stayed shut finds the call there, beside what the device said. Returns at once; the caller is
 * answered whether or not the device can be looked up.
 */
export function noteRefused(
  { gateway, names }: Pick<ApiContext, 'gateway' | 'names'>,
  { app, name: about }: Pick<KeyRecord, 'app' | 'name'>,
  to: Addressee,
  reason: ProblemName,
  name: string | undefined,
): void {
  if (ofNobody.has(reason)) return
  const note = async (): Promise<void> => {
    const device = to.device ?? (await names.alias(app, to.alias))?.device
    // What a call names need not exist: nothing is begun for that.
    if (device === undefined || (await names.device(app, device)) === undefined) return
    gateway.traces.refused(app, device, { name, reason, about })
  }
  // The store is away: it was said to the caller.
  note().catch(() => {})
}
