import type { Command } from 'commander';
import { nativeAddon, nativeFailure } from '../native/addon.ts';
import { listAdapters, type GpuAdapterInfo } from '../gpu/adapters.ts';
import { asOneBitError } from '../protocol/error.ts';
import { table } from './table.ts';

interface DeviceList {
  cpu: { path: string; note?: string };
  gpus: GpuAdapterInfo[];
  /** Why no GPU can be used. */
  gpuError?: string;
}

/** `onebit devices`: what a model can run on here, as `--device` names it. */
export function register(program: Command): void {
  program
    .command('devices')
    .description('The CPU kernels and the GPUs that a model can run on here.')
    .option('--json', 'print JSON')
    .action(async ({ json }: { json?: boolean }) => {
      const devices = await listDevices();
      process.stdout.write(json === true ? `${JSON.stringify(devices)}\n` : asText(devices));
    });
}

async function listDevices(): Promise<DeviceList> {
  const addon = nativeAddon();
  const cpu = addon === undefined ? { path: 'wasm', note: nativeFailure() } : { path: addon.isa };
  try {
    return { cpu, gpus: await listAdapters() };
  } catch (error) {
    return { cpu, gpus: [], gpuError: asOneBitError(error).message };
  }
}

function asText({ cpu, gpus, gpuError }: DeviceList): string {
  const lines = [`cpu: ${cpu.path} kernels${cpu.note === undefined ? '' : ` (native ones ${cpu.note})`}`];
  if (gpuError !== undefined) lines.push(gpuError);
  else if (gpus.length === 0) lines.push('No GPU: WebGPU finds no adapter. Is the driver installed?');
  if (gpus.length === 0) return `${lines.join('\n')}\n`;
  const gigabytes = (bytes: number | undefined) =>
    bytes === undefined ? 'not known' : `${(bytes / 1e9).toFixed(1)} GB`;
  const rows = gpus.map((gpu) => [
    gpu.name,
    gpu.kind,
    gpu.backend,
    gigabytes(gpu.memory.totalBytes),
    gigabytes(gpu.memory.freeBytes),
    gpu.features.join(' '),
    gpu.driver,
  ]);
  const head = ['gpu', 'kind', 'backend', 'memory', 'free', 'features', 'driver'];
  return `${lines.join('\n')}\n${table([head, ...rows], (column) => column === 3 || column === 4)}`;
}
