import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { Command, InvalidArgumentError, Option } from 'commander'
import type { DeviceStorage, LockerLog, PikeClient, StopReason } from '../devices/index.ts'
import { isIdentifier } from '../src/contract/index.ts'
import {
  type ApiOptions,
  connect,
  failureOf,
  findApiKey,
  settingsFor,
  withApi,
} from './api-client.ts'
import { Failure } from './failure.ts'
import { clockTime, print, printJson } from './print.ts'
import { type Protocol, type ProtocolName, protocolNames, protocols } from './protocols.ts'

interface Options extends ApiOptions {
  readonly device?: string
  readonly secret?: string
  readonly secretFile?: string
  readonly app?: string
  readonly doors: number
  readonly jammed?: readonly number[]
  readonly closeAfter?: number
  readonly host: string
  readonly port?: number
  readonly protocol: ProtocolName
  readonly behind?: string
  readonly tls?: true
  readonly tlsCa?: string
  readonly state?: string
  readonly json?: true
}

export const lockerCommand = (): Command =>
  withApi(new Command('locker'))
    .summary('be a parcel locker: connect, open doors, report')
    .description(
      'Runs a parcel locker that connects to a gateway: opens doors, reports door-opened and door-closed, replies. Without --secret, --secret-file and PIKE_DEVICE_SECRET it registers itself, with the API key at hand.',
    )
    .argument('[device...]', 'which device to be; several only with --behind')
    .option('--device <device>', 'the same')
    .option('--secret <secret>', 'its secret, as "pike device add" showed it')
    .option('--secret-file <file>', 'a file with it, so that it is not in the list of processes')
    .option(
      '--app <app>',
      'whose device it is (default: of one that registers itself the app of the API key, else default)',
    )
    .option('--doors <number>', 'how many doors it has', whole, 12)
    .option('--jammed <door...>', 'doors that do not move', collect)
    .option('--close-after <seconds>', 'somebody pushes an open door shut after this', positive, 5)
    .option('--host <host>', 'where the gateway listens for devices', '127.0.0.1')
    .addOption(
      new Option('--protocol <name>', 'what it speaks').choices(protocolNames).default('pike'),
    )
    .option('--port <port>', 'and its port for that (default: as in the settings, 7450)', whole)
    .option(
      '--tls',
      'connect by TLS; then --port is 7451, of MQTT 8883, of HTTP 8443, unless given',
    )
    .option('--tls-ca <file>', 'trust this certificate authority, PEM')
    .option('--state <file>', 'where it remembers what it has done; else it forgets when it ends')
    .option(
      '--behind <controller>',
      'go by the connection of this device, which speaks for it; --secret is then of that one',
    )
    .option('--json', 'for a script: one JSON object a line')
    .addHelpText(
      'after',
      `
A locker that registered itself keeps its secret and its state in lockers/APP in the data folder.

Examples:
  pike locker SZ-0042
  pike locker SZ-0042 --secret-file SZ-0042.secret --doors 24 --jammed 3
  PIKE_DEVICE_SECRET=$(cat SZ-0042.secret) pike locker SZ-0042
  pike locker SZ-0042 --protocol mqtt5
  pike locker box-1 box-2 --behind CAB-1 --secret-file CAB-1.secret
  pike locker LK-9 --app acme --secret ...
  pike locker SZ-0042 --secret ... --host gateway.example --tls`,
    )
    .action(async (named: readonly string[], options: Options) => {
      const devices =
        named.length > 0 ? named : options.device === undefined ? [] : [options.device]
      if (devices.length === 0) throw new Failure('which device? Like this: pike locker SZ-0042')
      const { behind } = options
      if (behind === undefined && devices.length > 1)
        throw new Failure('one locker has one connection; several share that of --behind')
      if (behind !== undefined && options.protocol !== 'pike')
        throw new Failure('--behind is of Pike: leave --protocol out')
      const secure = options.tls === true || options.tlsCa !== undefined
      const { title, secureListener }: Protocol = protocols[options.protocol]
      if (secure && secureListener === undefined)
        throw new Failure(
          `${title} has no encryption here yet: leave --tls out, and connect in a network you trust`,
        )
      const { fileStorage, PikeGateway, runLocker } = await import('../devices/index.ts')
      const { sessions } = await import('./sessions.ts')
      const storageIn = (file: string | undefined): { storage?: DeviceStorage } =>
        file === undefined ? {} : { storage: fileStorage(file) }
      // Who speaks for a locker proves itself; the locker has no part in that.
      const me = behind ?? devices[0]!
      const { app, secret, state } = await identity(me, options)
      const way = {
        host: options.host,
        port: options.port ?? defaultPort(options),
        ...(secure ? { tls: trust(options) } : {}),
        app,
        secret,
      }
      const controller =
        behind === undefined
          ? undefined
          : new PikeGateway({ ...way, device: behind, ...storageIn(state) })
      const lockers = devices.map((device) =>
        runLocker({
          ...way,
          device,
          ...sessions[options.protocol],
          ...(controller !== undefined && { behind: controller }),
          doors: {
            doors: options.doors,
            closeAfterMs: (options.closeAfter ?? 5) * 1000,
            settings: Object.fromEntries(
              (options.jammed ?? []).map((door) => [door, { jammed: true }]),
            ),
          },
          ...storageIn(behind === undefined || state === undefined ? state : `${state}.${device}`),
          log: logOf(behind === undefined ? undefined : device, options),
        }),
      )
      controller?.start()
      const clients = lockers.map(({ client }) => client)
      if (controller !== undefined) clients.push(controller.self)
      const stopped = Promise.race(clients.map(stopOf))
      const stop = async (): Promise<void> => {
        for (const locker of lockers) await locker.stop()
        await controller?.stop()
      }
      process.once('SIGINT', stop)
      process.once('SIGTERM', stop)
      const { who, reason } = await stopped
      await stop()
      if (reason.kind === 'storage')
        throw new Failure(`what ${who} remembers cannot be kept: ${reason.text}`)
      if (reason.kind !== 'refused') return
      if (who !== me)
        throw new Failure(
          `the gateway does not let ${me} speak for ${who} of app ${app}: ${reason.text}\nis ${who} registered, with ${me} among its gateways? See "pike device show ${who}"`,
        )
      throw new Failure(
        `the gateway does not want ${who} of app ${app}: ${reason.text}\nis it registered in that app, and is this its secret? See "pike device show ${who}"; another app is named with --app`,
      )
    })

const stopOf = (client: PikeClient): Promise<{ who: string; reason: StopReason }> =>
  new Promise((resolve) => {
    const heard = (reason: StopReason): void => resolve({ who: client.device, reason })
    client.on('stopped', heard)
    const { state } = client
    if (state.kind === 'stopped' && state.reason.kind !== 'not-started') heard(state.reason)
  })

/** @param device said where there may be several. */
const logOf = (device: string | undefined, { json }: Options): ((entry: LockerLog) => void) => {
  if (json) return (entry) => printJson(device === undefined ? entry : { device, ...entry })
  return device === undefined
    ? tell
    : (entry) => tell({ ...entry, text: `${device}: ${entry.text}` })
}

const tell = ({ atMs, text }: LockerLog): void => print(`${clockTime(atMs)}  ${text}`)

interface Identity {
  readonly app: string
  readonly secret: string
  readonly state: string | undefined
}

/** The secret given, or the one of a locker that registered itself, now or earlier. */
async function identity(device: string, options: Options): Promise<Identity> {
  const { state } = options
  for (const [what, id] of [
    ['device id', device],
    ['name of an app', options.app ?? 'default'],
  ] as const)
    if (!isIdentifier(id))
      throw new Failure(`"${id}" is no ${what}: letters, digits and . _ ~ - only, at most 128`)
  const secret = givenSecret(options)
  if (secret !== undefined) return { app: options.app ?? 'default', secret, state }
  const app = options.app ?? (await appOfKey(options))
  const all = join(settingsFor(options).dataDir, 'lockers')
  const folder = join(all, app)
  // Those of `default` lay one folder higher before lockers of several apps were told apart.
  for (const place of app === 'default' ? [folder, all] : [folder]) {
    const kept = read(join(place, `${device}.secret`))
    if (kept !== undefined)
      return { app, secret: kept, state: state ?? join(place, `${device}.state`) }
  }
  const secretFile = join(folder, `${device}.secret`)
  const stateFile = state ?? join(folder, `${device}.state`)

  const pike = connect(options)
  const key = await pike.key()
  if (key.app !== app)
    throw new Failure(
      `${device} cannot be registered in app ${app}: the API key at hand, ${key.name}, is of app ${key.app}\ngive a key of ${app} with --api-key or PIKE_API_KEY; or, if ${device} is registered there, its secret with --secret-file or PIKE_DEVICE_SECRET`,
    )
  if ((await pike.devices.get(device)) !== undefined)
    throw new Failure(
      `${device} is registered already, so give its secret, shown when it was registered, with --secret-file, PIKE_DEVICE_SECRET or --secret\nif that is lost, give it another: pike device rotate-secret ${device}\nor be another: pike locker ${device}-2`,
    )
  const body = await pike.devices.put(device)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  writeFileSync(secretFile, `${body.secret!}\n`, { mode: 0o600 })
  // What an earlier device of this name remembered means nothing to this one.
  rmSync(stateFile, { force: true })
  process.stderr.write(`${device} is registered; its secret is kept in ${secretFile}\n`)
  return { app, secret: body.secret!, state: stateFile }
}

/** Without a gateway to ask, or a key, `default`: a locker that is known here starts all the same. */
async function appOfKey(options: Options): Promise<string> {
  if (findApiKey(options) === undefined) return 'default'
  try {
    return (await connect(options).key()).app
  } catch (error) {
    if (failureOf(error) === undefined) throw error
    return 'default'
  }
}

/** Flag over file over environment, as everywhere; one of the two flags. */
function givenSecret({ secret, secretFile }: Options): string | undefined {
  if (secretFile === undefined)
    return secret ?? (process.env.PIKE_DEVICE_SECRET?.trim() || undefined)
  if (secret !== undefined) throw new Failure('--secret or --secret-file, not both')
  let text: string
  try {
    text = readFileSync(secretFile, 'utf8').trim()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Failure(`--secret-file ${secretFile} cannot be read (${code})`)
  }
  if (text !== '') return text
  throw new Failure(`--secret-file ${secretFile} is empty; put the secret into it`)
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim() || undefined
  } catch {
    return undefined
  }
}

function defaultPort(options: Options): number {
  const secure = options.tls === true || options.tlsCa !== undefined
  const port = protocols[options.protocol].port(settingsFor(options), secure)
  if (port !== 'off' && port !== 0) return port
  throw new Failure(
    `the gateway's port for devices is "${port}" in the settings; name it with --port`,
  )
}

function trust({ tlsCa }: Options): ConnectionOptions {
  if (tlsCa === undefined) return {}
  try {
    return { ca: readFileSync(tlsCa) }
  } catch (error) {
    throw new Failure(`--tls-ca ${tlsCa} cannot be read: ${(error as Error).message}`)
  }
}

function whole(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1 || value > 65_535)
    throw new InvalidArgumentError('use a whole number above 0')
  return value
}

const collect = (text: string, before: readonly number[] = []): readonly number[] => [
  ...before,
  whole(text),
]

function positive(text: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new InvalidArgumentError('use a number of seconds above 0')
  return value
}
