import type { Histogram, SlaSeries } from '../contract/index.ts'

type Counter = 'uplinks' | 'uplinksAcknowledged' | 'downlinks' | 'downlinksAcknowledged'
type Timed = 'uplinkSeconds' | 'downlinkSeconds' | 'channelSeconds'

const counters: readonly (readonly [field: Counter, name: string, help: string])[] = [
  ['uplinks', 'pike_uplinks_total', 'Uplinks received, each once.'],
  ['uplinksAcknowledged', 'pike_uplinks_acknowledged_total', 'Of those, kept and acknowledged.'],
  ['downlinks', 'pike_downlinks_total', 'Commands written to a link, each once.'],
  ['downlinksAcknowledged', 'pike_downlinks_acknowledged_total', 'Of those, acknowledged.'],
]

const histograms: readonly (readonly [field: Timed, name: string, help: string])[] = [
  ['uplinkSeconds', 'pike_uplink_seconds', 'From received to kept and acknowledged.'],
  ['downlinkSeconds', 'pike_downlink_seconds', 'From first written to acknowledged.'],
  [
    'channelSeconds',
    'pike_channel_available_seconds',
    'From asking to attach until commands can pass.',
  ],
]

/**
 * Service figures as Prometheus text. Buckets are cumulative there, and end with `+Inf`, which is
 * the count. Source: Prometheus text format 0.0.4, "Histograms and summaries".
 */
export function slaText(series: readonly SlaSeries[]): string {
  if (series.length === 0) return ''
  const labelled = series.map((one) => {
    const { app, protocol, deviceClass } = one
    return { one, labels: `app="${app}",protocol="${protocol}",class="${deviceClass}"` }
  })
  let text = ''
  for (const [field, name, help] of counters) {
    text += `# HELP ${name} ${help}\n# TYPE ${name} counter\n`
    for (const { one, labels } of labelled) text += `${name}{${labels}} ${one[field]}\n`
  }
  for (const [field, name, help] of histograms) {
    text += `# HELP ${name} ${help}\n# TYPE ${name} histogram\n`
    for (const { one, labels } of labelled) text += histogramText(name, labels, one[field])
  }
  return text
}

function histogramText(name: string, labels: string, { bounds, counts, sum }: Histogram): string {
  let text = ''
  let below = 0
  for (let at = 0; at < counts.length; at++) {
    below += counts[at]!
    text += `${name}_bucket{${labels},le="${bounds[at] ?? '+Inf'}"} ${below}\n`
  }
  return `${text}${name}_sum{${labels}} ${sum}\n${name}_count{${labels}} ${below}\n`
}
