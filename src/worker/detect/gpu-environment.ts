/**
 * What a batch's processes see of the worker's cards: those that it was given, and no other. A test that claimed none is
 * shown none, so that it can't disturb the one that did. This hides cards from honest programs; it locks nothing.
 *
 * None is said as `-1`: CUDA stops at an index that does not exist. An empty value means the same to CUDA, but scripts take it for
 * unset (`${CUDA_VISIBLE_DEVICES:-0}`).
 */
import type { Gpu } from '../../protocol/worker-messages.ts'

type Env = Readonly<Record<string, string | undefined>>

const none = '-1'

/** To be put over the environment; undefined = not set. */
export function gpuEnvironment(
  gpus: readonly Gpu[],
  granted: readonly string[],
  /** The worker's own. */
  outer: Env,
): Record<string, string | undefined> {
  const given = (vendor: Gpu['vendor']): string[] =>
    granted.filter((id) => gpus.some((gpu) => gpu.id === id && gpu.vendor === vendor))
  const has = (vendor: Gpu['vendor']): boolean => gpus.some((gpu) => gpu.vendor === vendor)
  const env: Record<string, string | undefined> = {}
  // It was granted a card that has just fallen off: better none than one that it was not given.
  if (granted.some((id) => gpus.every((gpu) => gpu.id !== id))) Object.assign(env, nvidia([]), amd([], true))
  if (has('nvidia') || outer['CUDA_VISIBLE_DEVICES'] !== undefined) Object.assign(env, nvidia(given('nvidia')))
  const isRocm = outer['ROCR_VISIBLE_DEVICES'] !== undefined
  if (has('amd') || isRocm || outer['HIP_VISIBLE_DEVICES'] !== undefined) {
    Object.assign(env, amd(given('amd'), isRocm))
    // HIP reads it too, and what it says is another vendor's.
    if (!has('nvidia')) env['CUDA_VISIBLE_DEVICES'] = undefined
  }
  if (gpus.length > 0 || granted.length > 0) env['MUSTER_GPUS'] = granted.join(',')
  return env
}

function nvidia(ids: readonly string[]): Record<string, string | undefined> {
  return {
    CUDA_VISIBLE_DEVICES: ids.length === 0 ? none : ids.join(','),
    // CUDA's own order is by speed; the ids are nvidia-smi's.
    ...(ids.some((id) => /^\d+$/.test(id)) ? { CUDA_DEVICE_ORDER: 'PCI_BUS_ID' } : {}),
  }
}

/** In the variable in which the worker was given them; the other one would count within it. */
function amd(ids: readonly string[], isRocm: boolean): Record<string, string | undefined> {
  if (ids.length === 0) return { HIP_VISIBLE_DEVICES: none, ROCR_VISIBLE_DEVICES: none }
  const list = ids.join(',')
  return isRocm
    ? { ROCR_VISIBLE_DEVICES: list, HIP_VISIBLE_DEVICES: undefined }
    : { HIP_VISIBLE_DEVICES: list, ROCR_VISIBLE_DEVICES: undefined }
}
