import { parseArgs } from 'node:util'
import { describeMachine } from '../bench/machine.ts'
import { runStorm, type StormResult } from './run.ts'

const { values } = parseArgs({
  options: {
    devices: { type: 'string', default: '20000' },
    fault: { type: 'string', default: 'kill' },
    seed: { type: 'string', default: '1' },
    rate: { type: 'string', default: '100' },
    help: { type: 'boolean', default: false },
  },
})

if (values.help || (values.fault !== 'kill' && values.fault !== 'polite')) {
  console.log(`npm run storm -- --devices 20000 --fault kill|polite --seed 1 [--rate 100]

So many Pike devices, over several loopback addresses, whose gateway is killed, or restarted politely,
while commands are sent. Looks at: when 99 % are back, how even they come, that nothing is lost or
comes twice, and how long a command waits. Exit code 1 where a promise is missed.

It needs a descriptor for each device: ulimit -n above --devices and 200 more.`)
  process.exit(values.help ? 0 : 2)
}

const result = await runStorm({
  devices: Number(values.devices),
  fault: values.fault,
  seed: Number(values.seed),
  rate: Number(values.rate),
  workers: 1,
  addresses: 8,
  patienceS: 180,
  say: (line) => process.stderr.write(`${line}\n`),
})
console.log(describeMachine())
console.log(table(result))
process.exit(report(result) ? 0 : 1)

function table(r: StormResult): string {
  const row = (what: string, value: string): string =>
    `| ${what.padEnd(42)} | ${value.padStart(12)} |`
  const s = (ms: number): string => `${(ms / 1000).toFixed(1)} s`
  return [
    row(`${r.options.fault}, devices`, `${r.options.devices}`),
    `|${'-'.repeat(44)}|${'-'.repeat(13)}:|`,
    row('the process was gone after', s(r.stopMs)),
    row('the next one was ready after', s(r.downMs)),
    row('99 % were back after', s(r.backMs)),
    row('reconnects a second, peak over mean', r.peakOverMean.toFixed(2)),
    row(
      'CPU for each that came back, main thread',
      `${Math.round(r.cpuUs)}, ${Math.round(r.mainUs)} µs`,
    ),
    row('its longest commit, and pause of its loop', `${s(r.commitMaxMs)}, ${s(r.busyMaxMs)}`),
    row('commands accepted', `${r.accepted}`),
    row('lost', `${r.lost}`),
    row('repeats', `${r.repeats}`),
    row('longest wait, accepted to received', s(r.waitMaxMs)),
    row('the same, once the next one was ready', s(r.waitOnceReadyMaxMs)),
    `reconnects by second: ${r.perSecond.join(' ')}`,
  ].join('\n')
}

function report(r: StormResult): boolean {
  const promises: readonly (readonly [string, boolean])[] = [
    ['all are back', r.back === r.options.devices],
    ['peak over mean at most 2', r.peakOverMean <= 2],
    ['nothing is lost', r.lost === 0],
    ['nothing comes twice', r.repeats === 0],
    ...(r.options.fault === 'polite'
      ? ([['no command waits over 5 s', r.waitMaxMs <= 5_000]] as const)
      : []),
  ]
  for (const [what, met] of promises) console.log(`${met ? 'MET  ' : 'SHORT'} ${what}`)
  return promises.every(([, met]) => met)
}
