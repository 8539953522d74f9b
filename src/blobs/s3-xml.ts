/** The few things Muster reads from an S3 store's XML. Names are taken without their namespace. */
import { SaxesParser } from 'saxes'

export type Element = { readonly name: string; text: string; readonly children: Element[] }

/** Undefined for what is no XML, e.g. a proxy's own error page. */
export function parseXml(xml: string): Element | undefined {
  const root: Element = { name: '', text: '', children: [] }
  const open = [root]
  const parser = new SaxesParser()
  parser.on('opentag', ({ name }) => {
    const element: Element = { name, text: '', children: [] }
    open.at(-1)!.children.push(element)
    open.push(element)
  })
  parser.on('text', (text) => {
    open.at(-1)!.text += text
  })
  parser.on('closetag', () => void open.pop())
  try {
    parser.write(xml).close()
  } catch (error) {
    if (error instanceof Error) return undefined
    throw error
  }
  return root.children[0]
}

export function textOf(element: Element | undefined, name: string): string | undefined {
  return element?.children.find((child) => child.name === name)?.text.trim()
}

export type ListPage = {
  readonly objects: readonly { readonly name: string; readonly bytes: number; readonly modifiedAtMs: number }[]
  /** Where the next page begins; undefined on the last. */
  readonly next: string | undefined
}

export function parseListPage(xml: string): ListPage | undefined {
  const root = parseXml(xml)
  if (root?.name !== 'ListBucketResult') return undefined
  const objects = root.children
    .filter((child) => child.name === 'Contents')
    .map((one) => ({
      name: textOf(one, 'Key') ?? '',
      bytes: Number(textOf(one, 'Size')),
      modifiedAtMs: Date.parse(textOf(one, 'LastModified') ?? ''),
    }))
  return { objects, next: textOf(root, 'IsTruncated') === 'true' ? textOf(root, 'NextContinuationToken') : undefined }
}
