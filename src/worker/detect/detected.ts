/** Everything that detection says of a machine. */
import type { Gpu } from '../../protocol/worker-messages.ts'

export type AttributeValue = string | number | boolean | string[]

export type Detected = {
  readonly tools: Readonly<Record<string, string>>
  readonly gpus: readonly Gpu[]
  /** Sorted by name. */
  readonly attributes: Readonly<Record<string, AttributeValue>>
  readonly unavailable: Readonly<Record<string, string>>
  readonly fingerprint: string | undefined
  readonly speed: number | undefined
}
