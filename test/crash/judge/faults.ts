import type { Facts, Findings } from './facts.ts'

/** SIGTERM until gone: the contract says 5 s. */
export const stopMaxMs = 5_000
/** Space until accepting again: the contract says 20 s. */
export const spaceMaxMs = 20_000

/** The two times the contract names, the refusal while there is no space, and the own counting. */
export function faultsBounded(facts: Facts, findings: Findings): void {
  for (const fault of facts.journal.faults) {
    const which = `round ${fault.round} (${fault.kind})`
    if (fault.kind === 'stop' && fault.goneMs !== undefined && fault.goneMs > stopMaxMs) {
      findings.add('stop-slow', `${which}: gone ${fault.goneMs} ms after SIGTERM`)
    }
    if (fault.kind === 'disk' && fault.readyMs !== undefined && fault.readyMs > spaceMaxMs) {
      findings.add('space-slow', `${which}: accepted ${fault.readyMs} ms after there was space`)
    }
    if (fault.kind === 'disk' && fault.refused === false) {
      findings.add(
        'disk-unnoticed',
        `${which}: the disk was full and nothing was answered 503 or 507`,
      )
    }
  }
  const counts = facts.journal.counts
  if (counts !== undefined && counts.accepted !== counts.ended + counts.open) {
    findings.add(
      'counts',
      `the gateway counts ${counts.accepted} accepted, ${counts.ended} ended and ${counts.open} open`,
    )
  }
}
