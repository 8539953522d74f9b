/** What both of AMD's tools have in common. */
export type AmdCard = {
  /** As HIP counts. */
  readonly index: number
  readonly uuid: string | undefined
  readonly name: string
  readonly memoryBytes: number
  readonly driver: string | undefined
}

/** Before its cards are in HIP's order. `node`: its number in the kernel's list of compute nodes, by which HIP counts. */
export type UnorderedCard = AmdCard & { readonly node: number | undefined }

/** The first that a text holds: tools print warnings around it, some of which begin with a bracket. */
export function jsonIn(text: string, tool: string): unknown {
  const end = Math.max(text.lastIndexOf('}'), text.lastIndexOf(']')) + 1
  for (const { index } of text.matchAll(/^[[{]/gm)) {
    try {
      return JSON.parse(text.slice(index, end)) as unknown
    } catch {
      // A warning, or cut off: the next line that could begin it.
    }
  }
  throw new Error(`${tool} printed '${text.trim().slice(0, 80)}' where JSON was expected`)
}

/** The hexadecimal number that ROCm's UUIDs are made of. */
export function uuidOf(unique: string | undefined): string | undefined {
  const digits = /^0x([\da-f]+)$/i.exec(unique ?? '')?.[1]
  return digits === undefined || /^0+$/.test(digits) ? undefined : `GPU-${digits.toLowerCase()}`
}
