import type { BenchGateway } from './gateway.ts'

interface EventPage {
  readonly items: readonly { readonly device: string; readonly payload: { readonly n: string } }[]
  readonly next: string
  readonly caughtUp: boolean
}

/** Every event of every device must be in the log, once and in order: by the number it carries. */
export async function checkLog(
  gateway: BenchGateway,
  wanted: number,
): Promise<{ readonly text: string; readonly good: boolean }> {
  const last = new Map<string, number>()
  let count = 0
  let wrong = 0
  let after = ''
  for (;;) {
    const page = (await gateway.get(`/v1/events?type=event&limit=1000${after}`)) as EventPage
    for (const { device, payload } of page.items) {
      const number = Number(payload.n)
      if (number !== (last.get(device) ?? 0) + 1) wrong++
      last.set(device, number)
      count++
    }
    after = `&after=${page.next}`
    if (page.caughtUp) break
  }
  return {
    text: `${count} events of ${wanted} (with those before the first window), ${wrong} out of sequence`,
    good: wrong === 0 && count === wanted,
  }
}
