/** What may not stand in one level of a topic is written `%XX`, and the percent sign with it. */
export const escapeLevel = (text: string): string =>
  text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must go
    /[%+#/\u0000-\u001f\u007f-\u009f]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )

export const unescapeLevel = (text: string): string =>
  text.replace(/%([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
