import { searchForGpus, type CrashJournal } from '../gpu/crash-journal.ts';
import { chooseAdapter, openAdapters, type ChosenAdapter, type GpuAdapterInfo } from '../gpu/adapters.ts';
import type { Device } from '../protocol/device.ts';
import { OneBitError } from '../protocol/error.ts';

/** Where a model goes, and why. */
export type DeviceChoice =
  { kind: 'gpu'; chosen: ChosenAdapter; reason: string } | { kind: 'cpu'; reason: string | undefined };

/**
 * Chooses what a model runs on, before anything of it is read.
 * @param needBytes what the model is planned to take of the GPU's memory
 * @param journal of processes that GPUs killed, which `auto` keeps off
 * @throws OneBitError for a GPU that was asked for: gpu-missing, or out-of-memory with both numbers
 */
export async function chooseDevice(
  device: Device,
  needBytes: number,
  journal?: CrashJournal,
): Promise<DeviceChoice> {
  if (device === 'cpu') return { kind: 'cpu', reason: undefined };
  if (device !== 'auto') {
    const chosen = await chooseAdapter(device, { unchecked: true });
    const short = shortage(chosen.info, needBytes);
    if (short !== undefined) {
      throw new OneBitError(
        'out-of-memory',
        `${short}: use a shorter --context, a smaller model, or --device cpu.`,
      );
    }
    return { kind: 'gpu', chosen, reason: `asked for with ${device}` };
  }
  const crashed = journal?.avoid(searchForGpus);
  if (crashed !== undefined) return { kind: 'cpu', reason: `auto: ${crashed}` };
  const search = journal?.begin(searchForGpus);
  const hardware = await hardwareAdapters().finally(() => search?.end());
  if (typeof hardware === 'string') return { kind: 'cpu', reason: `auto: ${hardware}` };
  return firstThatServes(hardware, needBytes, journal);
}

/** The first GPU with enough memory that has killed nobody; else the CPU, and what was wrong with each. */
export function firstThatServes(
  hardware: ChosenAdapter[],
  needBytes: number,
  journal?: CrashJournal,
): DeviceChoice {
  const reasons: string[] = [];
  for (const chosen of hardware) {
    const wrong = shortage(chosen.info, needBytes) ?? journal?.avoid(chosen.info);
    if (wrong === undefined)
      return { kind: 'gpu', chosen, reason: 'auto: a hardware GPU with enough memory' };
    reasons.push(wrong);
  }
  return { kind: 'cpu', reason: `auto: ${reasons.join('; ')}` };
}

/** The hardware GPUs, or why there is none. */
async function hardwareAdapters(): Promise<ChosenAdapter[] | string> {
  try {
    const all = await openAdapters({ unchecked: true });
    const hardware = all.filter(({ info }) => info.kind !== 'software');
    if (hardware.length > 0) return hardware;
    return all.length === 0
      ? 'there is no GPU here'
      : `there is no hardware GPU here, only ${all.map(({ info }) => info.name).join(', ')}`;
  } catch (error) {
    if (error instanceof OneBitError && error.code === 'gpu-missing') return error.message;
    throw error;
  }
}

/** What is missing, with both numbers; undefined where the model fits, or where nothing tells the card's size. */
export function shortage({ name, memory }: GpuAdapterInfo, needBytes: number): string | undefined {
  const room = memory.freeBytes ?? memory.totalBytes;
  if (room === undefined || needBytes <= room) return undefined;
  const megabytes = (bytes: number) => `${Math.ceil(bytes / 1e6)} MB`;
  const whole = memory.totalBytes === undefined ? '' : ` of ${megabytes(memory.totalBytes)}`;
  return `the model needs ${megabytes(needBytes)} of GPU memory, and ${name} has ${megabytes(room)}${whole} free`;
}
