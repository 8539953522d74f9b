/**
 * The cards that this worker may give to tests. Each vendor's tool is asked where it is installed; the kernel's own list tells
 * of the rest, and of cards that can't be used because their tool is missing.
 */
import type { Gpu } from '../../protocol/worker-messages.ts'
import { amdCards, visibleAmd } from './amd.ts'
import type { AttributeValue } from './detected.ts'
import { drmCards, type DrmCard } from './drm.ts'
import { nvidiaCards } from './nvidia.ts'
import { visibleNvidia } from './nvidia-visible.ts'
import type { Finding, Host } from './probe.ts'

type Attempt<T> = { readonly value: T; readonly why: undefined } | { readonly value: undefined; readonly why: string }

type Asked = {
  readonly nvidia: Attempt<Awaited<ReturnType<typeof nvidiaCards>>>
  readonly amd: Attempt<Awaited<ReturnType<typeof amdCards>>>
  readonly drm: Awaited<ReturnType<typeof drmCards>>
}

/** `early` is told of NVIDIA's cards while AMD's tools keep it waiting. */
export async function findGpus(host: Host, early?: (finding: Finding) => void): Promise<Finding> {
  let isOver = false
  const amdAsked = attempt(amdCards(host)).finally(() => (isOver = true))
  const [nvidia, drm] = await Promise.all([attempt(nvidiaCards(host)), drmCards(host)])
  // What is given away of them depends on whether there are AMD's, too: here the kernel has to know.
  if (!isOver && (nvidia.value?.cards ?? []).length > 0 && drm.cards.some((card) => card.vendor === 'amd'))
    early?.(findingOf(host, { nvidia, amd: { value: undefined, why: 'no answer from amd-smi or rocm-smi yet' }, drm }))
  return findingOf(host, { nvidia, amd: await amdAsked, drm })
}

function findingOf(host: Host, { nvidia, amd, drm }: Asked): Finding {
  const unavailable: Record<string, string> = { ...nvidia.value?.unavailable }
  const cardOf = (vendor: DrmCard['vendor']): DrmCard | undefined => drm.cards.find((card) => card.vendor === vendor)
  // That a tool is missing is only news where there is a card for it.
  if (nvidia.why !== undefined && (isNews(nvidia.why) || cardOf('nvidia')))
    unavailable['gpu'] = whyNot(nvidia.why, cardOf('nvidia'))
  if (amd.why !== undefined && (isNews(amd.why) || cardOf('amd'))) {
    const why = whyNot(amd.why, cardOf('amd'))
    unavailable[unavailable['gpu'] === undefined ? 'gpu' : 'gpu.amd'] = why
  }
  // Also while its tool does not answer: ids must stay the same for as long as a batch holds them.
  const amdThere =
    (amd.value ?? []).length > 0 || (amd.why !== undefined && isNews(amd.why) && cardOf('amd') !== undefined)
  // HIP reads CUDA's variable, too; where there are cards of both, it is meant for NVIDIA's.
  const { CUDA_VISIBLE_DEVICES: _, ...withoutCuda } = host.env
  const nvidiaThere = (nvidia.value?.cards ?? []).length > 0
  const gpus: Gpu[] = [
    ...(nvidia.value === undefined ? [] : visibleNvidia(nvidia.value, host.env, amdThere)),
    ...(amd.value === undefined ? [] : visibleAmd(amd.value, nvidiaThere ? withoutCuda : host.env)),
    ...drm.cards.filter((card) => isByKernel(card) && card.obstacle === undefined).map(gpuOf),
  ]
  const barred = drm.cards.filter((card) => isByKernel(card) && card.obstacle !== undefined)
  if (barred.length > 0) unavailable['gpu.drm'] = barred.map((card) => `${card.name}: ${card.obstacle}`).join('; ')
  if (gpus.length === 0)
    unavailable['gpu'] ??= unavailable['gpu.mig'] ?? unavailable['gpu.drm'] ?? nothingFound(nvidia, amd, drm.left)
  return { gpus, attributes: attributesOf(gpus), unavailable }
}

/** Without a tool of its own here. */
function isByKernel({ vendor }: DrmCard): boolean {
  return vendor === 'intel' || vendor === 'other'
}

function attempt<T>(asked: Promise<T>): Promise<Attempt<T>> {
  return asked.then(
    (value) => ({ value, why: undefined }),
    (error: Error) => ({ value: undefined, why: error.message }),
  )
}

function isNews(why: string): boolean {
  return !/is (not )?on PATH$/.test(why)
}

function whyNot(why: string, card: DrmCard | undefined): string {
  return card === undefined ? why : `${why} (the kernel lists ${card.node}, driver ${card.driver})`
}

function nothingFound(
  nvidia: Attempt<{ readonly cards: readonly unknown[] }>,
  amd: Attempt<readonly unknown[]>,
  left: readonly string[],
): string {
  const hidden = (nvidia.value?.cards.length ?? 0) + (amd.value?.length ?? 0)
  if (hidden > 0) return `${hidden} there, none for this worker: its own *_VISIBLE_DEVICES leaves it none`
  const others = left.length === 0 ? '' : `; not counted: ${left.join(', ')}`
  return `no nvidia-smi, no amd-smi or rocm-smi, and no card in /sys/class/drm${others}`
}

function gpuOf(card: DrmCard): Gpu {
  return { id: card.node, vendor: card.vendor, name: card.name, memoryBytes: card.memoryBytes, driver: card.driver }
}

function attributesOf(gpus: readonly Gpu[]): Record<string, AttributeValue | undefined> {
  if (gpus.length === 0) return {}
  const capabilities = gpus.flatMap((gpu) => gpu.computeCapability ?? []).sort(byVersion)
  return {
    'gpu.driver': gpus[0]!.driver,
    // What any of them has: a batch is not told which it will get.
    'gpu.computeCapability': capabilities[0],
    'gpu.mig': gpus.some((gpu) => gpu.partOf !== undefined),
  }
}

function byVersion(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}
