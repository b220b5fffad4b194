import { readFileSync } from 'node:fs'

/** Of this package, whether it runs from its sources or from `dist`. */
export const version: string = (() => {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const { name, version } = JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8'))
      if (name === 'pike-iot') return version
    } catch {
      // Not there: the other place.
    }
  }
  return 'unknown'
})()
