import { PikeProblem } from '../src/backend/index.ts'
import { Failure } from './failure.ts'

/*
 * What is not there, in words that say how it could be. One sentence a kind of thing.
 */

export const unknownDevice = (device: string): Failure =>
  new Failure(
    `no device ${device}; "pike device list" shows them, "pike device add ${device}" makes it`,
  )
export const unknownAlias = (alias: string): Failure =>
  new Failure(
    `nobody has the alias ${alias}; "pike alias list" shows them, "pike alias set ${alias} <device>" binds it`,
  )
export const unknownTag = (tag: string): Failure =>
  new Failure(`no device has the tag ${tag}; give it: pike tag add ${tag} <device>`)
export const unknownCommand = (id: string): Failure =>
  new Failure(`no command ${id}: is it the whole id, as "pike send" gave it?`)
export const unknownBroadcast = (id: string): Failure =>
  new Failure(`no broadcast ${id}; "pike broadcast list" shows them`)
export const unknownWebhook = (name: string): Failure =>
  new Failure(
    `no webhook ${name}; "pike webhook list" shows them, "pike webhook set ${name} <url>" makes it`,
  )
export const unknownApp = (app: string): Failure =>
  new Failure(`no app ${app}; "pike app list" shows them, "pike app set ${app}" makes it`)
export const unknownKey = (name: string, app: string): Failure =>
  new Failure(`no key ${name} in app ${app}; "pike key list --app ${app}" shows them`)

/** What was asked for, or that failure where the gateway answers with this problem. */
export async function known<T>(asked: Promise<T>, code: string, failure: Failure): Promise<T> {
  try {
    return await asked
  } catch (error) {
    if (error instanceof PikeProblem && error.code === code) throw failure
    throw error
  }
}

export const knownDevice = <T>(device: string, asked: Promise<T>): Promise<T> =>
  known(asked, 'unknown-device', unknownDevice(device))
export const knownCommand = <T>(id: string, asked: Promise<T>): Promise<T> =>
  known(asked, 'unknown-command', unknownCommand(id))
export const knownBroadcast = <T>(id: string, asked: Promise<T>): Promise<T> =>
  known(asked, 'unknown-broadcast', unknownBroadcast(id))
export const knownWebhook = <T>(name: string, asked: Promise<T>): Promise<T> =>
  known(asked, 'unknown-webhook', unknownWebhook(name))
export const knownApp = <T>(app: string, asked: Promise<T>): Promise<T> =>
  known(asked, 'unknown-app', unknownApp(app))
