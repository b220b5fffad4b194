/** Of the process itself: files of the store, calls of webhooks, and what is open for a moment. */
const ownMax = 1_024

/** Connections at once. */
export interface Places {
  readonly devices: number
  readonly backEnds: number
}

/** Descriptors that this process may have open; Infinity where the system does not say. */
export function descriptorsMax(): number {
  const { report } = process
  // It would look up the names of all who are connected.
  Object.assign(report, { excludeNetwork: true })
  const { userLimits } = report.getReport() as unknown as Report
  const max = userLimits?.open_files?.soft
  return typeof max === 'number' ? max : Number.POSITIVE_INFINITY
}

interface Report {
  readonly userLimits?: { readonly open_files?: { readonly soft: number | 'unlimited' } }
}

/**
 * As many connections as are wanted, and no more than there are descriptors for. Without one the
 * process could not even open the next file of its store: so it keeps some for itself, and back ends
 * have theirs, however many devices come.
 */
export function placesWithin(descriptors: number, wanted: Places): Places {
  const own = Math.min(ownMax, Math.floor(descriptors / 4))
  const backEnds = Math.min(wanted.backEnds, Math.floor(descriptors / 16))
  return { devices: Math.min(wanted.devices, descriptors - own - backEnds), backEnds }
}
