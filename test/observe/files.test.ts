import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test } from 'node:test'
import { parse } from 'yaml'
import { metricsOfGateway, readMetrics } from './gateway.ts'
import { type Read, readPromql } from './promql.ts'

const root = join(import.meta.dirname, '../..')
const text = (path: string): string => readFileSync(join(root, path), 'utf8')
// biome-ignore lint/suspicious/noExplicitAny: files of other programs, looked into as they are
const yaml = (path: string): any => parse(text(path))

interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

const groups: readonly { readonly name: string; readonly rules: readonly Rule[] }[] =
  yaml('observe/alerts.yml').groups
const rules = groups.flatMap((group) => group.rules)
const alerts = rules.filter(({ alert }) => alert !== undefined)

// biome-ignore lint/suspicious/noExplicitAny: as above
const dashboard: any = JSON.parse(text('observe/grafana/dashboards/pike.json'))

/** Prometheus adds these labels to everything it reads. */
const added = ['job', 'instance']

let metrics: ReturnType<typeof readMetrics>
before(async () => {
  metrics = readMetrics(await metricsOfGateway())
  metrics.set('up', new Map())
  metrics.set('ALERTS', new Map([['alertstate', new Set(['firing'])]]))
  // What rules compute has the labels they group by.
  for (const { record, expr } of rules) {
    if (record === undefined) continue
    const { grouped, metrics: read } = readPromql(expr)
    const of = grouped.size > 0 ? [...grouped] : [...read.keys()].flatMap(labelsOf)
    metrics.set(record, new Map(of.map((label) => [label, new Set()])))
  }
})

const labelsOf = (metric: string): string[] => [...(metrics.get(metric)?.keys() ?? [])]

function checkNames(read: Read, where: string): void {
  for (const [metric, matched] of read.metrics) {
    assert.ok(metrics.has(metric), `${where}: /metrics has no ${metric}`)
    for (const label of matched)
      assert.ok(
        added.includes(label) || labelsOf(metric).includes(label),
        `${where}: ${metric} has no label ${label}`,
      )
  }
  const known = [...added, ...[...read.metrics.keys()].flatMap(labelsOf)]
  for (const label of read.grouped) assert.ok(known.includes(label), `${where}: by ${label}`)
}

/** A value that is asked for by its exact text must be one the metric has. */
function checkValues(expr: string, where: string): void {
  for (const [, metric, inside] of expr.matchAll(/([a-z_:]+)\{([^}]*)\}/g))
    for (const [, label, value] of inside!.matchAll(/(\w+)="([^"]*)"/g))
      if (!added.includes(label!))
        assert.ok(metrics.get(metric!)?.get(label!)?.has(value!), `${where}: ${label}="${value}"`)
}

test('every rule is PromQL over metrics and labels that a gateway has', () => {
  assert.ok(alerts.length >= 15)
  for (const { record, alert, expr } of rules) {
    const where = record ?? alert!
    checkNames(readPromql(expr), where)
    checkValues(expr, where)
  }
})

test('every alert waits, says how urgent it is, what is so, what it means and what to do', () => {
  const names = alerts.map(({ alert }) => alert!)
  assert.equal(new Set(names).size, names.length)
  for (const { alert, for: wait, labels, annotations = {}, ...rest } of alerts) {
    assert.match(alert!, /^Pike[A-Z]\w+$/)
    assert.match(String(wait), /^[1-9]\d*[smh]$/, alert)
    assert.ok(['page', 'ticket'].includes(labels?.severity ?? ''), alert)
    assert.deepEqual(Object.keys(annotations).sort(), ['action', 'description', 'summary'], alert)
    assert.deepEqual(Object.keys(rest), ['expr'], alert)
    for (const said of Object.values(annotations)) assert.ok(said.length > 20, alert)
  }
})

test('what an alert says of its labels, its expression has', () => {
  for (const { alert, expr, annotations = {} } of alerts) {
    const { grouped, metrics: read } = readPromql(expr)
    const known = [...added, ...grouped, ...[...read.keys()].flatMap(labelsOf)]
    const said = Object.values(annotations).join(' ')
    assert.equal(said.split('{{').length, said.split('}}').length, alert)
    for (const [, label] of said.matchAll(/\$labels\.(\w+)/g))
      assert.ok(known.includes(label!), `${alert}: ${label}`)
  }
})

test('docs/operations.md names every alert', () => {
  const page = text('docs/operations.md')
  for (const { alert } of alerts) assert.ok(page.includes(`\`${alert}\``), alert)
})

test('docs/operations.md names no metric that a gateway does not have', () => {
  for (const [, name] of text('docs/operations.md').matchAll(
    /`((?:pike|nodejs|process)_[a-z0-9_]+|pike:[\w:]+)/g,
  ))
    assert.ok(metrics.has(name!) || [...metrics.keys()].some((one) => one.startsWith(name!)), name)
})

test('docs/operations.md says what to do on every reason for which a command waits', () => {
  const page = text('docs/operations.md')
  const codes = new Set(text('src/hub/explain.ts').match(/'waiting\.[a-z-]+'/g))
  assert.ok(codes.size > 10)
  for (const code of codes) assert.ok(page.includes(`\`${code.slice(1, -1)}\``), code)
})

test('every panel is PromQL over metrics and labels that a gateway has', () => {
  const rows: string[] = []
  const ids = new Set<number>()
  let queries = 0
  for (const panel of dashboard.panels) {
    assert.ok(!ids.has(panel.id), `two panels ${panel.id}`)
    ids.add(panel.id)
    if (panel.type === 'row') {
      rows.push(panel.title)
      continue
    }
    assert.ok(panel.targets.length > 0, panel.title)
    for (const { expr, datasource } of panel.targets) {
      queries++
      assert.equal(datasource.uid, 'pike-prometheus')
      checkNames(readPromql(expr), panel.title)
      checkValues(expr.replace(/\w+=~"[^"]*",?/g, ''), panel.title)
    }
  }
  assert.deepEqual(rows, [
    'Is it well',
    'Messages',
    'Outcomes',
    'Latency',
    'Devices',
    'Store',
    'Webhooks',
  ])
  assert.ok(queries > 40)
  for (const { expr } of dashboard.annotations.list) checkNames(readPromql(expr), 'annotation')
})

test('panels do not lie on each other', () => {
  const taken = new Set<string>()
  for (const { title, gridPos } of dashboard.panels) {
    const { x, y, w, h } = gridPos
    assert.ok(x + w <= 24, title)
    for (let column = x; column < x + w; column++)
      for (let line = y; line < y + h; line++) {
        assert.ok(!taken.has(`${column} ${line}`), title)
        taken.add(`${column} ${line}`)
      }
  }
})

test('variables of the dashboard are labels of service figures, and every panel uses only them', () => {
  const names = dashboard.templating.list.map(({ name }: { name: string }) => name)
  for (const { name, query } of dashboard.templating.list) {
    assert.equal(query.query, `label_values(pike_uplinks_total, ${name})`)
    assert.ok(labelsOf('pike_uplinks_total').includes(name))
  }
  for (const [, used] of JSON.stringify(dashboard.panels).matchAll(/\$(\w+)/g))
    assert.ok(names.includes(used!), used)
})

test('Grafana finds its data source and its dashboard', () => {
  const [source] = yaml('observe/grafana/provisioning/datasources/prometheus.yml').datasources
  assert.deepEqual([source.uid, source.url], ['pike-prometheus', 'http://prometheus:9090'])
  const [provider] = yaml('observe/grafana/provisioning/dashboards/pike.yml').providers
  const { volumes, environment } = yaml('docker-compose.yml').services.grafana
  assert.ok(volumes.includes(`./observe/grafana/dashboards:${provider.options.path}:ro`))
  assert.equal(
    environment.GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH,
    `${provider.options.path}/pike.json`,
  )
})

test('Prometheus finds its rules, and the gateway', () => {
  const { rule_files, scrape_configs } = yaml('observe/prometheus.yml')
  assert.deepEqual(rule_files, ['alerts.yml'])
  const [{ job_name, static_configs, metrics_path }] = scrape_configs
  assert.deepEqual(
    [job_name, metrics_path, static_configs[0].targets],
    ['pike', '/metrics', ['gateway:8080']],
  )
  assert.match(text('Dockerfile'), /PIKE_API_HOST=0\.0\.0\.0/)
})

test('docker-compose.yml: what observes comes only when asked for, pinned, and only to this machine', () => {
  const { services, volumes } = yaml('docker-compose.yml')
  assert.deepEqual(Object.keys(services), ['gateway', 'prometheus', 'grafana'])
  assert.equal(services.gateway.profiles, undefined)
  for (const name of ['prometheus', 'grafana']) {
    const { profiles, image, ports } = services[name]
    assert.deepEqual(profiles, ['observe'])
    assert.match(image, /^[a-z]+\/[a-z]+:v?\d+\.\d+\.\d+$/)
    for (const port of ports) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/)
  }
  for (const { volumes: mounts } of Object.values(services) as { volumes: string[] }[])
    for (const mount of mounts) {
      const [from] = mount.split(':')
      if (from!.startsWith('./')) assert.ok(existsSync(join(root, from!)), mount)
      else assert.ok(Object.hasOwn(volumes, from!), mount)
    }
})
