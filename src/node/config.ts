import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import { isIdentifier, type Limits } from '../contract/index.ts'
import {
  asLimits,
  type ChosenLimit,
  chooseLimits,
  type GivenLimit,
  splitLimits,
} from './limit-settings.ts'
import { type Setting, type SettingName, settings } from './settings.ts'

export type Port = number | 'off'

/** What a gateway is started with. Paths are as given; the rest is checked. */
export interface Config {
  readonly dataDir: string
  readonly apiKey: string | undefined
  readonly apiHost: string
  readonly apiPort: Port
  readonly deviceHost: string
  readonly tcpPort: Port
  readonly tlsPort: Port
  readonly mqttPort: Port
  readonly mqttsPort: Port
  readonly mqttWsPort: Port
  readonly coapPort: Port
  /** From where a CoAP device may send its bare secret (rule 32). */
  readonly coapBareSecrets: 'loopback' | 'anywhere'
  readonly httpPort: Port
  readonly httpsPort: Port
  /** Templates; undefined: the usual ones. */
  readonly mqttTopics: {
    readonly events: readonly string[] | undefined
    readonly commands: readonly string[] | undefined
    readonly replies: readonly string[] | undefined
  }
  /** Both or none. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  /** Unless their device's record says otherwise. */
  readonly independentChannels: readonly string[]
  readonly engine: 'level' | 'memory'
  /** May be called though they point inward. */
  readonly webhookAllow: readonly string[]
  readonly logLevel: string
  readonly limits: Limits
}

/** One setting as it came out, for `pike config`. Secrets are masked already. */
export interface Chosen {
  readonly name: SettingName
  readonly flag: string
  readonly value: string | undefined
  /** `flag`, `environment`, `default`, or the file's name. */
  readonly origin: string
  readonly later: boolean
  readonly what: string
}

export type Loaded =
  | {
      readonly ok: true
      readonly config: Config
      readonly chosen: readonly Chosen[]
      readonly limits: readonly ChosenLimit[]
      /** PIKE_ names in the environment that mean nothing here: most likely a slip of the pen. */
      readonly unknown: readonly string[]
    }
  /** One line that names the setting, where it came from, what is wrong and what to do. */
  | { readonly ok: false; readonly problem: string }

export interface Sources {
  /** By flag, without the dashes. Flags that may be repeated: joined by commas. */
  readonly flags: Readonly<Record<string, string | undefined>>
  readonly env: Readonly<Record<string, string | undefined>>
  /** The file named by `--config`. */
  readonly file?: string | undefined
  /** Names in the environment that are not settings of a gateway but known all the same. */
  readonly alsoKnown?: readonly string[]
}

interface Found {
  readonly text: string
  readonly origin: string
}

class Wrong extends Error {}

/** Flags over environment over file over defaults. */
export function loadConfig(sources: Sources): Loaded {
  try {
    return load(sources)
  } catch (error) {
    if (error instanceof Wrong) return { ok: false, problem: error.message }
    throw error
  }
}

function load(sources: Sources): Loaded {
  const file = sources.file === undefined ? new Map<string, string>() : readFile(sources.file)
  const found = new Map<SettingName, Found>()
  const limits = chooseLimits(givenLimits(sources, file))
  if (typeof limits === 'string') throw new Wrong(limits)
  const changed = limits.filter(({ origin }) => origin !== 'default')
  if (changed.length > 0)
    found.set('PIKE_LIMITS', {
      text: changed.map(({ name, value }) => `${name}=${value}`).join(','),
      origin: [...new Set(changed.map(({ origin }) => origin))].join(', '),
    })
  for (const setting of settings as readonly (Setting & { name: SettingName })[]) {
    if (setting.kind === 'limits') continue // each has an origin of its own
    const one = find(setting, sources, file)
    if (one === undefined) continue
    check(setting, one)
    found.set(setting.name, one)
  }
  const text = (name: SettingName): string | undefined => found.get(name)?.text
  const port = (name: SettingName): Port => {
    const value = text(name)
    return value === 'off' ? 'off' : Number(value)
  }
  const certFile = text('PIKE_TLS_CERT')
  const keyFile = text('PIKE_TLS_KEY')
  if ((certFile === undefined) !== (keyFile === undefined)) {
    const [there, missing] =
      certFile === undefined ? ['PIKE_TLS_KEY', 'PIKE_TLS_CERT'] : ['PIKE_TLS_CERT', 'PIKE_TLS_KEY']
    throw new Wrong(`${there} is set but ${missing} is not: TLS needs both; set both or neither`)
  }
  return {
    ok: true,
    config: {
      dataDir: text('PIKE_DATA_DIR')!,
      apiKey: text('PIKE_API_KEY'),
      apiHost: text('PIKE_API_HOST')!,
      apiPort: port('PIKE_API_PORT'),
      deviceHost: text('PIKE_DEVICE_HOST')!,
      tcpPort: port('PIKE_TCP_PORT'),
      tlsPort: port('PIKE_TLS_PORT'),
      mqttPort: port('PIKE_MQTT_PORT'),
      mqttsPort: port('PIKE_MQTTS_PORT'),
      mqttWsPort: port('PIKE_MQTT_WS_PORT'),
      coapPort: port('PIKE_COAP_PORT'),
      coapBareSecrets: text('PIKE_COAP_BARE_SECRETS') as Config['coapBareSecrets'],
      httpPort: port('PIKE_HTTP_PORT'),
      httpsPort: port('PIKE_HTTPS_PORT'),
      mqttTopics: {
        events: someOf(text('PIKE_MQTT_EVENTS')),
        commands: someOf(text('PIKE_MQTT_COMMANDS')),
        replies: someOf(text('PIKE_MQTT_REPLIES')),
      },
      tls: certFile === undefined ? undefined : { certFile, keyFile: keyFile! },
      engine: text('PIKE_ENGINE') as Config['engine'],
      independentChannels: listOf(text('PIKE_INDEPENDENT_CHANNELS')),
      webhookAllow: listOf(text('PIKE_WEBHOOK_ALLOW')),
      logLevel: text('PIKE_LOG_LEVEL')!,
      limits: asLimits(limits),
    },
    limits,
    chosen: (settings as readonly (Setting & { name: SettingName })[]).map((setting) => {
      const one = found.get(setting.name)
      return {
        name: setting.name,
        flag: setting.flag,
        value: one === undefined ? undefined : setting.secret ? '********' : one.text,
        origin: one?.origin ?? 'default',
        later: setting.later ?? false,
        what: setting.what,
      }
    }),
    unknown: Object.keys(sources.env).filter(
      (name) =>
        name.startsWith('PIKE_') &&
        !settings.some((setting) => setting.name === name) &&
        !sources.alsoKnown?.includes(name),
    ),
  }
}

/** Flags over environment over file, limit by limit. */
function givenLimits(
  { flags, env, file: name }: Sources,
  file: ReadonlyMap<string, string>,
): GivenLimit[] {
  const from = (text: string | undefined, origin: string, where: string): GivenLimit[] =>
    splitLimits(text ?? '').map(([limit, value]) => ({ name: limit, text: value, origin, where }))
  return [
    ...from(flags.limit, 'flag', 'the flag --limit'),
    ...from(env.PIKE_LIMITS, 'environment', 'PIKE_LIMITS in the environment'),
    ...from(file.get('limits'), name ?? '', `"limits" in ${name}`),
  ]
}

/** An empty value counts as none: what starts containers often hands over names without values. */
function find(
  setting: Setting,
  sources: Sources,
  file: ReadonlyMap<string, string>,
): Found | undefined {
  const flag = sources.flags[setting.flag]
  if (flag !== undefined && flag !== '') return { text: flag, origin: 'flag' }
  const variable = sources.env[setting.name]
  if (variable !== undefined && variable !== '') return { text: variable, origin: 'environment' }
  const line = file.get(setting.flag)
  if (line !== undefined && line !== '') return { text: line, origin: sources.file! }
  return setting.default === undefined ? undefined : { text: setting.default, origin: 'default' }
}

function check(setting: Setting, { text, origin }: Found): void {
  const wrong = (why: string): Wrong => {
    const value = setting.secret ? 'its value' : JSON.stringify(text)
    const where =
      origin === 'flag'
        ? `the flag --${setting.flag}`
        : origin === 'environment'
          ? 'the environment'
          : `"${setting.flag}" in ${origin}`
    return new Wrong(`${setting.name} (from ${where}): ${value} ${why}`)
  }
  switch (setting.kind) {
    case 'port':
      if (text !== 'off' && !(/^\d{1,5}$/.test(text) && Number(text) <= 65_535))
        throw wrong('is no port; use 1 to 65535, 0 for any free one, or off')
      return
    case 'host':
      if (!/^[A-Za-z0-9._:%-]{1,255}$/.test(text))
        throw wrong('is no address; use an IP address or a host name, without scheme and port')
      return
    case 'choice':
      if (setting.name === 'PIKE_ENGINE' && text === 'redis')
        throw wrong('is not in this version; use level')
      if (!setting.choices!.includes(text))
        throw wrong(`is not one of them; use ${setting.choices!.join(', ')}`)
      return
    case 'key':
      // What fits in an Authorization header: RFC 6750 §2.1, b64token.
      if (!/^[A-Za-z0-9._~+/-]{1,256}=*$/.test(text))
        throw wrong('cannot be sent as a bearer token; use letters, digits and ._~+/- only')
      return
    case 'names': {
      const slip = listOf(text).find((name) => !isIdentifier(name))
      if (slip === undefined) return
      throw wrong(
        `names ${JSON.stringify(slip)}, which no channel can be called; use letters, digits and . _ ~ -, beginning with a letter or digit, 128 at most`,
      )
    }
    case 'text':
    case 'file':
    case 'url':
      if (text.includes('\0')) throw wrong('contains a zero byte; remove it')
  }
}

const listOf = (text = ''): readonly string[] =>
  text.split(',').flatMap((entry) => (entry.trim() === '' ? [] : [entry.trim()]))

/** None at all is as good as nothing said. */
const someOf = (text: string | undefined): readonly string[] | undefined => {
  const all = listOf(text)
  return all.length === 0 ? undefined : all
}

/** The file: a flat YAML mapping, its keys the flags without dashes; and a mapping of limits. */
function readFile(file: string): ReadonlyMap<string, string> {
  let content: string
  try {
    content = readFileSync(file, 'utf8')
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const why = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`
    throw new Wrong(`--config ${file}: ${why}; name a YAML file, or leave --config out`)
  }
  let tree: unknown
  try {
    tree = parse(content, { maxAliasCount: 0 })
  } catch (error) {
    const line = (error as Error).message.split('\n')[0]!.replace(/:$/, '')
    throw new Wrong(`${file} is not YAML: ${line}; correct it`)
  }
  const values = new Map<string, string>()
  if (tree === null || tree === undefined) return values
  if (typeof tree !== 'object' || Array.isArray(tree))
    throw new Wrong(`${file} holds no settings; write one a line, like "api-port: 8080"`)
  for (const [key, value] of Object.entries(tree)) {
    if (key === 'limits') {
      values.set(key, limitsInFile(file, value))
      continue
    }
    if (key === 'limit' || !settings.some((setting) => setting.flag === key))
      throw new Wrong(`"${key}" in ${file} is no setting; "pike config" lists them all`)
    if (value === null) continue
    // YAML 1.1 tools write `off` as false.
    if (value === false) values.set(key, 'off')
    else if (typeof value === 'string' || typeof value === 'number') values.set(key, String(value))
    else throw new Wrong(`"${key}" in ${file} must be one plain value; write "${key}: value"`)
  }
  return values
}

function limitsInFile(file: string, tree: unknown): string {
  if (tree === null) return ''
  if (typeof tree !== 'object' || Array.isArray(tree))
    throw new Wrong(
      `"limits" in ${file} holds no limits; write one a line below it, like "  mailboxMaxCommands: 500"`,
    )
  return Object.entries(tree as Record<string, unknown>)
    .map(([name, value]) => {
      const plain = typeof value === 'number' || typeof value === 'string'
      if (!plain || /[,=]/.test(`${name}${value}`))
        throw new Wrong(`limit ${name} in ${file} must be one number; write "${name}: number"`)
      return `${name}=${value}`
    })
    .join(',')
}
