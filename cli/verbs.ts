import type { Command } from 'commander'

/*
 * The same thing has one name here, and is found by the others people type: `pike device ls`,
 * `pike webhooks rm orders`, `pike alias get order-7`.
 */

const otherVerbs: Readonly<Record<string, readonly string[]>> = {
  list: ['ls'],
  show: ['get'],
  remove: ['rm', 'delete'],
  revoke: ['rm', 'remove', 'delete'],
  add: ['create'],
  create: ['add'],
  set: ['add', 'create'],
}

/** One or many: `pike device` and `pike devices`. */
const otherNouns: Readonly<Record<string, string>> = {
  device: 'devices',
  alias: 'aliases',
  tag: 'tags',
  broadcast: 'broadcasts',
  webhook: 'webhooks',
  app: 'apps',
  key: 'keys',
  events: 'event',
}

/** Gives every noun and its verbs their other names. */
export function withOtherWords(program: Command): void {
  for (const noun of program.commands) {
    const other = Object.hasOwn(otherNouns, noun.name()) ? otherNouns[noun.name()] : undefined
    if (other !== undefined) noun.alias(other)
    for (const verb of noun.commands)
      if (Object.hasOwn(otherVerbs, verb.name())) verb.aliases([...otherVerbs[verb.name()]!])
  }
}
