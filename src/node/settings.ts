/**
 * Every setting: its name in the environment, its flag (which is also its key in the file), its
 * default and what it is for. `docs/operations.md` and `pike config` say the same.
 */
export interface Setting {
  readonly name: string
  /** `--api-port 8080` on the command line, `api-port: 8080` in the file. */
  readonly flag: string
  readonly kind: 'text' | 'host' | 'port' | 'file' | 'choice' | 'key' | 'url' | 'names' | 'limits'
  readonly default?: string
  readonly choices?: readonly string[]
  readonly what: string
  /** Never shown or logged. */
  readonly secret?: true
  /** Accepted, so that one configuration fits coming versions, but nothing is started for it. */
  readonly later?: true
}

export const settings = [
  {
    name: 'PIKE_DATA_DIR',
    flag: 'data-dir',
    kind: 'file',
    default: './data',
    what: 'where everything kept lies: the store and the generated API key',
  },
  {
    name: 'PIKE_API_KEY',
    flag: 'api-key',
    kind: 'key',
    secret: true,
    what: 'an API key of app "default" with all scopes; without it one is generated on first start',
  },
  {
    name: 'PIKE_API_HOST',
    flag: 'api-host',
    kind: 'host',
    default: '127.0.0.1',
    what: 'address of the HTTP API for back ends',
  },
  {
    name: 'PIKE_API_PORT',
    flag: 'api-port',
    kind: 'port',
    default: '8080',
    what: 'port of the HTTP API for back ends',
  },
  {
    name: 'PIKE_DEVICE_HOST',
    flag: 'device-host',
    kind: 'host',
    default: '0.0.0.0',
    what: 'address of all listeners for devices',
  },
  {
    name: 'PIKE_TCP_PORT',
    flag: 'tcp-port',
    kind: 'port',
    default: '7450',
    what: 'Pike over TCP',
  },
  {
    name: 'PIKE_TLS_PORT',
    flag: 'tls-port',
    kind: 'port',
    default: '7451',
    what: 'Pike over TLS; starts only with a certificate and its key',
  },
  {
    name: 'PIKE_MQTT_PORT',
    flag: 'mqtt-port',
    kind: 'port',
    default: '1883',
    what: 'MQTT over TCP',
  },
  {
    name: 'PIKE_MQTTS_PORT',
    flag: 'mqtts-port',
    kind: 'port',
    default: '8883',
    what: 'MQTT over TLS; starts only with a certificate and its key',
  },
  {
    name: 'PIKE_MQTT_WS_PORT',
    flag: 'mqtt-ws-port',
    kind: 'port',
    default: '8083',
    what: 'MQTT over WebSocket, at the path /mqtt',
  },
  {
    name: 'PIKE_MQTT_EVENTS',
    flag: 'mqtt-events',
    kind: 'text',
    what: 'topics of events over MQTT, templates separated by commas, instead of the usual ones; docs/mqtt.md',
  },
  {
    name: 'PIKE_MQTT_COMMANDS',
    flag: 'mqtt-commands',
    kind: 'text',
    what: 'topics of commands over MQTT, as above, e.g. "commands/{id}/{name},locker/{device}/cmd"',
  },
  {
    name: 'PIKE_MQTT_REPLIES',
    flag: 'mqtt-replies',
    kind: 'text',
    what: 'topics of replies over MQTT, as above',
  },
  {
    name: 'PIKE_COAP_PORT',
    flag: 'coap-port',
    kind: 'port',
    default: '5683',
    what: 'CoAP over UDP',
  },
  {
    name: 'PIKE_COAP_BARE_SECRETS',
    flag: 'coap-bare-secrets',
    kind: 'choice',
    default: 'loopback',
    choices: ['loopback', 'anywhere'],
    what: 'from where CoAP devices may send their secret as it is, instead of a proof; whoever listens on the way reads it',
  },
  {
    name: 'PIKE_COAPS_PORT',
    flag: 'coaps-port',
    kind: 'port',
    default: '5684',
    later: true,
    what: 'CoAP over DTLS',
  },
  {
    name: 'PIKE_HTTP_PORT',
    flag: 'http-port',
    kind: 'port',
    default: '8081',
    what: 'HTTP for devices',
  },
  {
    name: 'PIKE_HTTPS_PORT',
    flag: 'https-port',
    kind: 'port',
    default: '8443',
    what: 'HTTPS for devices; starts only with a certificate and its key',
  },
  {
    name: 'PIKE_TLS_CERT',
    flag: 'tls-cert',
    kind: 'file',
    what: 'certificate chain, PEM file',
  },
  {
    name: 'PIKE_TLS_KEY',
    flag: 'tls-key',
    kind: 'file',
    what: 'private key of the certificate, PEM file',
  },
  {
    name: 'PIKE_INDEPENDENT_CHANNELS',
    flag: 'independent-channels',
    kind: 'names',
    what: 'channels that have a connection to themselves, separated by commas, e.g. "media"; what a device is set to goes before it',
  },
  {
    name: 'PIKE_WEBHOOK_ALLOW',
    flag: 'webhook-allow',
    kind: 'text',
    what: 'receivers of webhooks and callbacks that may be called though they point inward: host names, addresses or CIDRs, separated by commas; "loopback" and "private" stand for those networks',
  },
  {
    name: 'PIKE_ENGINE',
    flag: 'engine',
    kind: 'choice',
    default: 'level',
    choices: ['level', 'memory'],
    what: 'where commands and events are kept: "level" on disk; "memory" keeps nothing over a restart',
  },
  {
    name: 'PIKE_REDIS_URL',
    flag: 'redis-url',
    kind: 'url',
    secret: true,
    later: true,
    what: 'the "redis" engine for many nodes',
  },
  {
    name: 'PIKE_LOG_LEVEL',
    flag: 'log-level',
    kind: 'choice',
    default: 'info',
    choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
    what: 'least severe log line that is written',
  },
  {
    name: 'PIKE_LIMITS',
    flag: 'limit',
    kind: 'limits',
    what: 'bounds other than the defaults: name=value, more of them separated by commas; in the file a mapping "limits"',
  },
] as const satisfies readonly Setting[]

export type SettingName = (typeof settings)[number]['name']
